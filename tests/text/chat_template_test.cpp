// Rendered text against Jinja2's: the goldens come from Debian's python3-jinja2 (tests/golden/PROVENANCE.md).
#include "text/chat_template.h"

#include <gtest/gtest.h>

#include "kvgauge/error.h"
#include "support/paths.h"

namespace kvgauge {
namespace {

using testing::read_file;
using testing::repo_path;

OrderedJson read_json(const std::string& path) { return parse_ordered_json(read_file(repo_path(path)), path); }

TEST(ChatTemplate, TinyReasonerMatchesItsGoldens) {
  const OrderedJson config = read_json("models/tiny-reasoner/tokenizer_config.json");
  const ChatTemplate chat(config.at("chat_template").get<std::string>(), "tokenizer_config.json");
  const OrderedJson cases = read_json("tests/golden/tiny-reasoner/template.json");
  ASSERT_GE(cases.size(), 4u);
  for (const OrderedJson& one : cases) {
    OrderedJson variables = one.at("kwargs");
    variables["messages"] = one.at("messages");
    variables["add_generation_prompt"] = one.at("add_generation_prompt");
    EXPECT_EQ(chat.render(variables), one.at("text").get<std::string>()) << variables.dump();
  }
}

// Our templates with the constructs of six published models; the texts are what the published templates render.
class ModelTemplate : public ::testing::TestWithParam<const char*> {};

TEST_P(ModelTemplate, RendersWhatThePublishedOneDoes) {
  const std::string folder = "tests/golden/chat_templates/";
  const OrderedJson golden = read_json(folder + GetParam() + ".json");
  const OrderedJson given = read_json(folder + "conversations.json");
  const std::string file = golden.at("template").get<std::string>();
  const ChatTemplate chat(read_file(repo_path(folder + file)), file);
  ASSERT_GE(golden.at("cases").size(), 100u);
  for (const OrderedJson& one : golden.at("cases")) {
    OrderedJson variables = given.at("special");
    variables["messages"] = given.at("conversations").at(one.at("conversation").get<std::string>());
    variables.update(given.at("flags").at(one.at("flags").get<std::string>()));
    SCOPED_TRACE(one.dump());
    if (one.at("text").is_null()) {
      EXPECT_THROW(chat.render(variables), RequestError);
      continue;
    }
    EXPECT_EQ(chat.render(variables), golden.at("texts").at(one.at("text").get<std::size_t>()).get<std::string>());
  }
}

INSTANTIATE_TEST_SUITE_P(Six, ModelTemplate,
                         ::testing::Values("smollm2", "llama3", "r1_distill_qwen", "qwen2_5", "qwen3", "llama3_1"),
                         [](const auto& info) { return std::string(info.param); });

std::string outcome(const std::string& source, const OrderedJson& variables) {
  std::string kind = "load_error";
  try {
    const ChatTemplate chat(source, "case");
    kind = "render_error";
    return "text: " + chat.render(variables);
  } catch (const Error&) {
    return kind;
  }
}

TEST(ChatTemplate, EveryPointOfTheLanguageMatchesJinja2) {
  const OrderedJson golden = read_json("tests/golden/chat_templates/language.json");
  ASSERT_GE(golden.at("cases").size(), 150u);
  for (const OrderedJson& one : golden.at("cases")) {
    OrderedJson variables = golden.at("variables");
    variables.update(one.at("more"));
    const std::string want = one.contains("text")         ? "text: " + one.at("text").get<std::string>()
                             : one.contains("load_error") ? "load_error"
                                                          : "render_error";
    EXPECT_EQ(outcome(one.at("template").get<std::string>(), variables), want)
        << one.at("name") << ": " << one.at("template");
  }
}

TEST(ChatTemplate, MovesAndRendersAgain) {
  ChatTemplate first("{{ x }}{% set ns = namespace(a=x) %}{{ ns.a }}");
  ChatTemplate second = std::move(first);
  EXPECT_EQ(second.render({{"x", 1}}), "11");
  EXPECT_EQ(second.render({{"x", "é"}}), "éé");
  first = ChatTemplate("b");
  EXPECT_EQ(first.render(OrderedJson::object()), "b");
}

TEST(ChatTemplate, StrftimeNowIsToday) {
  const ChatTemplate chat("{{ strftime_now('%Y-%m-%d') }}");
  const auto today = [] {
    const std::time_t now = std::time(nullptr);
    char buffer[32];
    std::strftime(buffer, sizeof buffer, "%Y-%m-%d", std::localtime(&now));
    return std::string(buffer);
  };
  const std::string before = today(), rendered = chat.render(OrderedJson::object());
  EXPECT_TRUE(rendered == before || rendered == today()) << rendered;  // midnight may fall between
}

}  // namespace
}  // namespace kvgauge
