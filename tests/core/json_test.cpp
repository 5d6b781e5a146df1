#include "core/json.h"

#include <gtest/gtest.h>

#include "kvgauge/error.h"

namespace kvgauge {
namespace {

std::string message_of(auto&& call) {
  try {
    call();
  } catch (const FormatError& error) {
    return error.what();
  }
  return "no error";
}

TEST(Json, ErrorsNameThePlaceAndTheCauseInOneLine) {
  const std::string text = message_of([] { parse_json("{\"a\": [1, 2\n}", "config.json"); });
  EXPECT_EQ(text.rfind("config.json: not valid JSON: ", 0), 0u) << text;
  EXPECT_EQ(text.find('\n'), std::string::npos);
  EXPECT_NE(message_of([] { parse_json("\"\xff\xfe\"", "x"); }), "no error");  // invalid UTF-8
}

TEST(Json, RefusesAbsurdNestingInsteadOfOverflowingTheStack) {
  EXPECT_NE(message_of([] { parse_json(std::string(1'000'000, '['), "deep.json"); }).find("nested deeper"),
            std::string::npos);
  EXPECT_NO_THROW(parse_json(std::string(100, '[') + std::string(100, ']'), "x"));
  EXPECT_NO_THROW(parse_json("\"" + std::string(5000, '[') + "\"", "x"));  // brackets inside a string do not count
}

TEST(Json, TypedAccessSaysWhatWasFound) {
  const Json object =
      parse_json(R"({"n": 3, "x": 1.5, "s": "t", "b": true, "nil": null, "big": 18446744073709551615})", "f");
  EXPECT_EQ(get_int(object, "n", "f"), 3);
  EXPECT_EQ(get_number(object, "n", "f"), 3.0);
  EXPECT_EQ(find_int(object, "nil", "f"), std::nullopt);
  EXPECT_EQ(find_bool(object, "b", "f"), true);
  EXPECT_EQ(message_of([&] { get_int(object, "x", "f"); }), "f: 'x' is number, an integer was needed");
  EXPECT_EQ(message_of([&] { get_int(object, "absent", "f"); }), "f: 'absent' is missing");
  EXPECT_NE(message_of([&] { get_int(object, "big", "f"); }), "no error");
  EXPECT_EQ(message_of([&] { get_int(Json::array(), "n", "f"); }), "f: found array, an object with 'n' was needed");
}

TEST(Json, UniqueParserRefusesAKeyThatIsThereTwice) {
  EXPECT_NE(
      message_of([] { parse_json_unique(R"({"a": {"b": 1, "b": 2}})", "x"); }).find("x: the key 'b' is there twice"),
      std::string::npos);
  EXPECT_EQ(parse_json_unique(R"({"a": {"b": 1}, "b": {"b": 1}, "c": [{"a": 1}, {"a": 2}]})", "x").size(), 3u);
  EXPECT_NE(message_of([] { parse_json_unique("{\"a\": ", "x"); }).find("not valid JSON"), std::string::npos);
}

}  // namespace
}  // namespace kvgauge
