// The embedded model's tokenizer against ids and NFC forms made elsewhere (tests/golden/tiny-reasoner/README.txt).
#include <gtest/gtest.h>

#include "core/json.h"
#include "support/paths.h"
#include "text/tokenizer.h"
#include "text/tokenizer_nfc.h"

namespace kvgauge {
namespace {

using testing::read_file;
using testing::repo_path;

Tokenizer tiny_tokenizer() {
  return Tokenizer(parse_tokenizer_json(read_file(repo_path("models/tiny-reasoner/tokenizer.json")), "tokenizer.json"),
                   "tokenizer.json");
}

TEST(TinyTokenizer, EncodesEveryGolden) {
  const Tokenizer tokenizer = tiny_tokenizer();
  EXPECT_EQ(tokenizer.size(), 1024);
  const Json goldens = parse_json(read_file(repo_path("tests/golden/tiny-reasoner/tokenizer.json")), "golden");
  ASSERT_EQ(goldens.size(), 60U);
  for (const Json& golden : goldens) {
    const auto text = golden.at("text").get<std::string>();
    const auto ids = golden.at("ids").get<std::vector<std::int32_t>>();
    EXPECT_EQ(tokenizer.encode(text), ids) << text;
    EXPECT_EQ(tokenizer.decode(ids), text);
  }
}

TEST(TinyTokenizer, EncodesEveryRenderedTemplate) {
  const Tokenizer tokenizer = tiny_tokenizer();
  for (const char* const file : {"golden_00_fast.json", "golden_12_slow.json", "golden_23_slow.json"}) {
    const Json golden = parse_json(read_file(repo_path(std::string("tests/golden/tiny-reasoner/") + file)), file);
    const auto ids = golden.at("prompt_ids").get<std::vector<std::int32_t>>();
    EXPECT_EQ(tokenizer.encode(golden.at("chat_text").get<std::string>()), ids) << file;
  }
}

TEST(TinyTokenizer, NormalisesEveryGolden) {
  const Json goldens = parse_json(read_file(repo_path("tests/golden/tiny-reasoner/nfc.json")), "golden");
  for (const Json& golden : goldens)
    EXPECT_EQ(to_nfc(golden.at("text").get<std::string>()), golden.at("nfc").get<std::string>());
}

}  // namespace
}  // namespace kvgauge
