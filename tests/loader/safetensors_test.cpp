#include "loader/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "core/cat.h"
#include "messages.h"
#include "model_writer.h"
#include "support/paths.h"

namespace kvgauge {
namespace {

using testing::safetensors_entry;
using testing::safetensors_file;
using testing::says;
using testing::thrown;

std::vector<StoredTensor> parse(const std::string& file) {
  return parse_safetensors(std::as_bytes(std::span(file)), "m.safetensors");
}
std::string error_of(const std::string& file) {
  return thrown([&] { parse(file); });
}
std::string error_of_header(const std::string& header, std::size_t data_bytes = 16) {
  return error_of(safetensors_file(header, std::string(data_bytes, '\0')));
}

TEST(Safetensors, GivesTheTensorsInTheOrderOfTheirBytes) {
  const std::string file =
      safetensors_file(cat(R"({"__metadata__":{"a":"b"},"b":)", safetensors_entry("BF16", {2, 1, 2}, 0, 8), R"(,"a":)",
                           safetensors_entry("F32", {2}, 8, 16), R"(,"s":)", safetensors_entry("F16", {}, 16, 18), "}"),
                       "0123456789abcdefgh");
  const auto tensors = parse(file);
  ASSERT_EQ(tensors.size(), 3u);
  EXPECT_EQ(tensors[0].name, "b");
  EXPECT_EQ(tensors[0].type, StoredType::kBF16);
  EXPECT_EQ(tensors[0].rows, 2);
  EXPECT_EQ(tensors[0].columns, 2);
  EXPECT_EQ(static_cast<char>(tensors[1].data[0]), '8');
  EXPECT_EQ(tensors[1].rows, 1);
  EXPECT_EQ(tensors[2].columns, 1);
}

TEST(Safetensors, NamesWhatIsWrong) {
  const auto one = [](const std::string& entry) { return cat(R"({"w":)", entry, "}"); };
  EXPECT_TRUE(says(error_of("abc"), "FormatError", {"m.safetensors: found 3 bytes"}));
  EXPECT_TRUE(says(error_of(testing::bytes_of(std::uint64_t{1} << 62) + "{}"), "FormatError",
                   {"header length 4611686018427387904", "only 2 bytes follow"}));
  EXPECT_TRUE(says(error_of_header("{\"w\":"), "FormatError", {"m.safetensors: not valid JSON"}));
  EXPECT_TRUE(says(error_of_header("[]"), "FormatError", {"the header is array"}));
  EXPECT_TRUE(says(error_of_header(std::string(2000, '[')), "FormatError", {"nested deeper"}));
  EXPECT_TRUE(says(error_of_header(one("7")), "FormatError", {"tensor 'w'", "object"}));
  EXPECT_TRUE(says(error_of_header(one(R"({"dtype":"F32","shape":[4]})")), "FormatError",
                   {"tensor 'w'", "'data_offsets' is missing"}));
  EXPECT_TRUE(says(error_of_header(one(safetensors_entry("I64", {2}, 0, 16))), "ConfigError",
                   {"tensor 'w': dtype I64 is not supported"}));
  EXPECT_TRUE(says(error_of_header(one(safetensors_entry("F8_E4M3", {16}, 0, 16))), "ConfigError", {"F8_E4M3"}));
  EXPECT_TRUE(says(error_of_header(one(safetensors_entry("F32", {-4}, 0, 16))), "FormatError",
                   {"'shape' holds something other than counts"}));
  EXPECT_TRUE(
      says(error_of_header(one(R"({"dtype":"F32","shape":[4.0],"data_offsets":[0,16]})")), "FormatError", {"'shape'"}));
  EXPECT_TRUE(says(error_of_header(one(R"({"dtype":"F32","shape":[4],"data_offsets":[16]})")), "FormatError",
                   {"'data_offsets' has 1 numbers"}));
  EXPECT_TRUE(says(error_of_header(one(safetensors_entry("F32", {4}, 8, 24))), "FormatError",
                   {"bytes [8, 24) lie outside the data section of 16 bytes"}));
  EXPECT_TRUE(
      says(error_of_header(one(safetensors_entry("F32", {4}, 16, 0))), "FormatError", {"bytes [16, 0) lie outside"}));
  EXPECT_TRUE(says(error_of_header(one(safetensors_entry("F32", {5}, 0, 16))), "FormatError",
                   {"F32[5] needs 20 bytes, the header gives 16"}));
  EXPECT_TRUE(says(error_of_header(one(safetensors_entry("F32", {1ll << 40, 1ll << 40}, 0, 16))), "FormatError",
                   {"overflows"}));
  EXPECT_TRUE(
      says(error_of_header(one(safetensors_entry("F32", {1ll << 62, 4}, 0, 16))), "FormatError", {"overflows"}));
  EXPECT_TRUE(says(error_of_header(one(safetensors_entry("F32", {3}, 0, 12))), "FormatError",
                   {"the tensors end at byte 12 of 16"}));
  EXPECT_TRUE(says(error_of_header(one(safetensors_entry("F32", {3}, 4, 16))), "FormatError",
                   {"tensor 'w': starts at byte 4 and leaves a gap"}));
  EXPECT_TRUE(says(error_of_header(cat(R"({"v":)", safetensors_entry("F32", {3}, 0, 12), R"(,"w":)",
                                       safetensors_entry("F32", {2}, 8, 16), "}")),
                   "FormatError", {"tensor 'w': starts at byte 8 and overlaps", "ends at 12"}));
  EXPECT_TRUE(says(error_of_header(cat(R"({"w":)", safetensors_entry("F32", {2}, 0, 8), R"(,"w":)",
                                       safetensors_entry("F32", {2}, 8, 16), "}")),
                   "FormatError", {"'w' is there twice"}));
  EXPECT_TRUE(says(error_of_header(cat(R"({"a\nb":)", safetensors_entry("I8", {16}, 0, 16), "}")), "ConfigError",
                   {"tensor 'a\\x0ab'"}));
}

TEST(Safetensors, EveryTruncationIsRefused) {
  const std::string file = testing::tiny_folder("qwen3").weights();
  ASSERT_NO_THROW(parse(file));
  std::uint64_t header = 0;
  std::memcpy(&header, file.data(), 8);
  for (std::size_t size = 0; size < header + 8 + 4; ++size)
    ASSERT_TRUE(says(error_of(file.substr(0, size)), "FormatError", {"m.safetensors"})) << size;
  EXPECT_NE(error_of(file.substr(0, file.size() - 1)), "none");
}

// One flipped bit anywhere in the header: it parses (a changed name, say) or is refused; the tensors it gives lie in
// the file.
TEST(Safetensors, FlippedBitsAreRefusedOrHarmless) {
  const std::string file = testing::tiny_folder("llama").weights();
  std::uint64_t header = 0;
  std::memcpy(&header, file.data(), 8);
  std::mt19937_64 random(testing::test_seed(20));
  int refused = 0;
  for (int trial = 0; trial < 2000; ++trial) {
    std::string bytes = file;
    char& byte = bytes[random() % (header + 8)];
    byte = static_cast<char>(byte ^ 1 << random() % 8);
    const std::string message = thrown([&] {
      for (const StoredTensor& t : parse(bytes)) {
        const auto begin = reinterpret_cast<const char*>(t.data.data()) - bytes.data();
        ASSERT_GE(begin, 0);
        ASSERT_LE(static_cast<std::size_t>(begin) + t.data.size(), bytes.size());
        ASSERT_EQ(stored_bytes(t.type, static_cast<std::uint64_t>(t.rows * t.columns)), t.data.size());
      }
    });
    refused += message != "none";
  }
  EXPECT_GT(refused, 1000);
}

TEST(Safetensors, WrittenHeadersAreReadBack) {
  const std::string header =
      safetensors_header({{"z", {2, 3}}, {"a", {1}}, {"none", {0, 5}}}, {{"note", "\"\xc3\xbc\xff\""}, {"empty", ""}});
  EXPECT_EQ(header.size() % 8, 0u);
  const std::string file = header + std::string(7 * sizeof(float), '\0');
  const SafetensorsContents got = read_safetensors(std::as_bytes(std::span(file)), "w");
  ASSERT_EQ(got.tensors.size(), 3u);
  EXPECT_EQ(got.tensors[0].tensor.name, "z");
  EXPECT_EQ(got.tensors[0].shape, (std::vector<std::uint64_t>{2, 3}));
  EXPECT_EQ(got.tensors[0].tensor.data.data(), reinterpret_cast<const std::byte*>(file.data()) + header.size());
  EXPECT_EQ(got.metadata.at("note"), "\"\xc3\xbc\xef\xbf\xbd\"");
  EXPECT_EQ(got.metadata.at("empty"), "");
  const std::string bare = safetensors_header({}, {});
  EXPECT_TRUE(read_safetensors(std::as_bytes(std::span(bare)), "w").tensors.empty());
}

}  // namespace
}  // namespace kvgauge
