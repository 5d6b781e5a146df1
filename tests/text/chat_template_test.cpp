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

}  // namespace
}  // namespace kvgauge
