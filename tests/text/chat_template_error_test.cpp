// What is refused at load, how errors name their place, and the limits that keep hostile templates from doing harm.
#include <gtest/gtest.h>

#include "kvgauge/error.h"
#include "text/chat_template.h"

namespace kvgauge {
namespace {

std::string load_error(const std::string& source) {
  try {
    const ChatTemplate chat(source, "t.jinja");
  } catch (const FormatError& error) {
    return error.what();
  }
  return "loaded";
}

std::string render_error(const std::string& source, const OrderedJson& variables = OrderedJson::object()) {
  const ChatTemplate chat(source, "t.jinja");
  try {
    return "rendered " + std::to_string(chat.render(variables).size()) + " bytes";
  } catch (const RequestError& error) {
    return error.what();
  }
}

std::string repeated(const std::string& part, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += part;
  return out;
}

TEST(ChatTemplateErrors, NameTheLineAndColumn) {
  EXPECT_EQ(load_error("{% if x %}\n  é {{ y + }}\n{% endif %}"), "t.jinja:2:12: found '}}', an expression was needed");
  EXPECT_EQ(load_error("a\r\nb\r\n{% for x in y %}"),
            "t.jinja:3:17: found the end of the template in 'for' of line 3, 'endfor' was needed");
  EXPECT_EQ(load_error("{{ 'abc }}"), "t.jinja:1:4: found a string without an end, ' was needed");
  EXPECT_EQ(load_error("{{ (1 }}"), "t.jinja:1:7: found '}', ')' was needed");
  EXPECT_EQ(load_error("x\n{# open"), "t.jinja:2:1: found a comment without an end, '#}' was needed");
  EXPECT_EQ(load_error("\n\n{{ '\\ud800' }}"),
            "t.jinja:3:5: found an escape that is no character, a Unicode scalar value was needed");
}

TEST(ChatTemplateErrors, NameTheConstructThatIsNotSupported) {
  const std::pair<const char*, const char*> cases[] = {
      {"{% include 'x' %}", "'include'"},
      {"{% import 'x' as y %}", "'import'"},
      {"{% extends 'x' %}", "'extends'"},
      {"{% block b %}{% endblock %}", "'block'"},
      {"{% autoescape true %}{% endautoescape %}", "'autoescape'"},
      {"{% do f() %}", "'do'"},
      {"{{ x|pprint }}", "filter 'pprint'"},
      {"{{ x|map('xmlattr')|list }}", "filter 'xmlattr'"},
      {"{{ x|select('escaped')|list }}", "test 'escaped'"},
      {"{{ x|selectattr('a', 'nonsense')|list }}", "test 'nonsense'"},
      {"{{ x is filter }}", "test 'filter'"},
      {"{{ x.format(1) }}", "method 'format'"},
      {"{{ f(*x) }}", "'*' arguments"},
      {"{{ f(**x) }}", "'**' arguments"},
      {"{{ x[1, 2] }}", "several subscripts"},
      {"{% for x in y recursive %}{% endfor %}", "recursive"},
      {"{{ '\\N{DASH}' }}", "names are not supported"},
      {"{{ 99999999999999999999 }}", "64 bits"},
      {"{{ 1e999 }}", "64 bits"},
  };
  for (const auto& [source, needed] : cases) {
    const std::string message = load_error(source);
    EXPECT_NE(message.find(needed), std::string::npos) << source << " -> " << message;
    EXPECT_EQ(message.find("t.jinja:1:"), 0u) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
}

TEST(ChatTemplateErrors, RaiseExceptionEndsTheRequestWithItsText) {
  EXPECT_EQ(render_error("{% if not messages %}\n{{ raise_exception('roles must\nalternate') }}{% endif %}"),
            "t.jinja:2:19: roles must alternate");
}

TEST(ChatTemplateErrors, WhileRenderingNameThePlaceToo) {
  EXPECT_EQ(render_error("a\n{{ messages[0].content }}"), "t.jinja:2:12: 'messages' is undefined");
  EXPECT_EQ(render_error("{{ m.x.y }}", {{"m", OrderedJson::object()}}),
            "t.jinja:1:8: 'dict' object has no attribute 'x'");
  EXPECT_EQ(render_error("{{ 'a' + m }}", {{"m", nullptr}}),
            "t.jinja:1:8: found str + None, operands that go together were needed");
  EXPECT_EQ(render_error("{{ 9223372036854775807 + 1 }}"),
            "t.jinja:1:24: found an integer of more than 64 bits, a smaller one was needed");
  EXPECT_NE(render_error("x", {{"n", 18446744073709551615u}}).find("integer 18446744073709551615"), std::string::npos);
  EXPECT_NE(render_error("x", OrderedJson::array()).find("an object was needed"), std::string::npos);
}

TEST(ChatTemplateLimits, SourceSizeAndEncoding) {
  EXPECT_EQ(load_error(std::string((1u << 20) + 1, 'x')),
            "t.jinja:1:1: the template has 1048577 bytes, at most 1048576 were needed");
  EXPECT_EQ(load_error(std::string(1u << 20, 'x')), "loaded");
  EXPECT_NE(load_error("a\n\xff").find("not valid UTF-8 at byte 2"), std::string::npos);
}

TEST(ChatTemplateLimits, NestingInTheSource) {
  const std::pair<const char*, const char*> brackets[] = {{"(", ")"},          {"[", "]"},          {"{1:", "}"},
                                                          {"-", ""},           {"not ", ""},        {"a.get(", ")"},
                                                          {"a|default(", ")"}, {"1 if 2 else ", ""}};
  for (const auto& [open, close] : brackets) {
    const std::string message = load_error("{{ " + repeated(open, 5000) + "1" + repeated(close, 5000) + " }}");
    EXPECT_NE(message.find("deeper than 200"), std::string::npos) << open << message;
  }
  for (const char* part : {" + 1", "|upper", ".a", "[0]", " or 1", " ** 2", " if 1 else 2", "(1)"}) {
    const std::string message = load_error("{{ x" + repeated(part, 20000) + " }}");
    EXPECT_NE(message.find("deeper than 200"), std::string::npos) << part << message;
  }
  EXPECT_EQ(load_error("{{ x" + repeated(" ~ 1", 20000) + " }}"), "loaded");  // flat, however long
  EXPECT_NE(load_error(repeated("{% if x %}", 5000)).find("deeper than 200"), std::string::npos);
  EXPECT_NE(
      load_error("{% for " + repeated("(", 5000) + "x" + repeated(")", 5000) + " in y %}").find("deeper than 200"),
      std::string::npos);
  EXPECT_EQ(load_error(repeated("{% if x %}", 100) + repeated("{% endif %}", 100)), "loaded");
}

TEST(ChatTemplateLimits, NestingWhileRendering) {
  EXPECT_NE(render_error("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}").find("deeper than 1000"),
            std::string::npos);
  const std::string deep =
      "{% set ns = namespace(x=[]) %}{% for i in range(5000) %}{% set ns.x = [ns.x] %}{% endfor %}";
  for (const char* use :
       {"{{ ns.x }}", "{{ ns.x|tojson }}", "{{ ns.x == [ns.x] }}", "{{ ns.x < [ns.x] }}", "{{ ns.x|string }}"})
    EXPECT_NE(render_error(deep + use).find("nested deeper than 600"), std::string::npos) << use;
  EXPECT_NE(render_error("{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}").find("nested deeper than 600"),
            std::string::npos);
}

TEST(ChatTemplateLimits, Steps) {
  const std::string loops = repeated("{% for i in range(100000) %}", 4) + "x" + repeated("{% endfor %}", 4);
  EXPECT_NE(render_error(loops).find("more than"), std::string::npos);
  EXPECT_NE(render_error("{% set l = range(100000)|list %}{% for i in l %}{{ -1 in l }}{% endfor %}")
                .find("more than 20000000 steps"),
            std::string::npos);
  EXPECT_NE(render_error("{% set s = 'a' * 1000000 %}{% for i in range(100000) %}{% set x = s.upper() %}{% endfor %}")
                .find("more than"),
            std::string::npos);
  EXPECT_NE(
      render_error("{% set s = 'a' * 4000000 %}{{ (s + 'b').find(s[1:] + 'c') }}").find("more than 20000000 steps"),
      std::string::npos);
}

TEST(ChatTemplateLimits, Memory) {
  const std::string doubling =
      "{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}";
  EXPECT_NE(render_error(doubling).find("more than 268435456 bytes"), std::string::npos);
  EXPECT_NE(render_error("{{ 'ab' * 9000000000000000000 }}").find("fewer were needed"), std::string::npos);
  EXPECT_NE(render_error("{{ [1] * 9000000000000000000 }}").find("fewer were needed"), std::string::npos);
  EXPECT_NE(render_error("{{ ('a' * 100000)|replace('', 'b' * 100000) }}").find("more than 268435456 bytes"),
            std::string::npos);
  const std::string shared =
      "{% set ns = namespace(x=[1]) %}{% for i in range(40) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}";
  for (const char* use : {"{{ ns.x }}", "{{ ns.x|tojson }}", "{{ ns.x == ns.x }}"})
    EXPECT_NE(render_error(shared + use).find("more than"), std::string::npos) << use;
}

TEST(ChatTemplateLimits, Output) {
  EXPECT_NE(render_error("{% set s = 'a' * 1000000 %}{% for i in range(100) %}{{ s }}{% endfor %}")
                .find("larger than 16777216 bytes"),
            std::string::npos);
  EXPECT_EQ(render_error("{% set s = 'a' * 1000000 %}{% for i in range(16) %}{{ s }}{% endfor %}"),
            "rendered 16000000 bytes");
}

}  // namespace
}  // namespace kvgauge
