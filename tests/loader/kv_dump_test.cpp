#include "loader/kv_dump.h"

#include <gtest/gtest.h>

#include <cstring>

#include "core/cat.h"
#include "core/json.h"
#include "kvgauge/error.h"
#include "support/paths.h"

namespace kvgauge::testing {
namespace {

struct Tensor {
  std::string name, dtype;
  std::vector<std::int64_t> shape;
};

/// A safetensors file whose bytes count up, its header `padding` bytes longer than it must be.
std::string written(const std::vector<Tensor>& tensors, const Json& metadata = {}, int padding = 0) {
  Json header = Json::object();
  if (!metadata.is_null()) header["__metadata__"] = metadata;
  std::int64_t at = 0;
  for (const Tensor& tensor : tensors) {
    std::int64_t bytes = tensor.dtype == "F32" ? 4 : 2;
    for (const std::int64_t count : tensor.shape) bytes *= count;
    header[tensor.name] = {{"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {at, at + bytes}}};
    at += bytes;
  }
  std::string text = header.dump();
  while ((text.size() + 8) % 8 != 0) text += ' ';
  text += std::string(static_cast<std::size_t>(padding), ' ');
  const std::uint64_t length = text.size();
  std::string file(8, '\0');
  std::memcpy(file.data(), &length, 8);
  file += text;
  for (std::int64_t i = 0; i < at; ++i) file += static_cast<char>(i % 60);  // no NaN as f32, f16 or bf16
  return file;
}

std::vector<Tensor> two_layers(const std::string& dtype = "F16", const std::vector<std::int64_t>& shape = {2, 5, 4}) {
  return {{"layers.0.k", dtype, shape},
          {"layers.0.v", dtype, shape},
          {"layers.1.k", dtype, shape},
          {"layers.1.v", dtype, shape}};
}

KvDump read(const std::string& file) { return read_kv_dump(std::as_bytes(std::span(file)), "dump"); }

void expect_refused(const std::vector<Tensor>& tensors, const Json& metadata, const std::string& message) {
  const std::string file = written(tensors, metadata);
  try {
    read(file);
    ADD_FAILURE() << "no error with " << message;
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).substr(0, 5), "dump:");
    EXPECT_NE(std::string(error.what()).find(message), std::string::npos) << error.what();
  }
}

TEST(KvDump, ReadsShapesNamesAndMetadata) {
  auto tensors = two_layers("BF16", {1, 2, 5, 4});
  tensors.push_back({"inverse_frequencies", "F32", {2}});
  const std::string file = written(tensors, {{"prompt_tokens", "3"}, {"span", "1:4"}, {"made_by", "a test"}});
  const KvDump dump = read(file);
  EXPECT_EQ(dump.dtype, DType::kBF16);
  EXPECT_EQ(dump.layers, 2);
  EXPECT_EQ(dump.kv_heads, 2);
  EXPECT_EQ(dump.head_dim, 4);
  EXPECT_EQ(dump.positions, 5);
  EXPECT_EQ(dump.prompt_tokens, 3);
  EXPECT_EQ(dump.range, std::pair(std::int64_t{1}, std::int64_t{4}));
  EXPECT_EQ(dump.inverse_frequencies.size(), 2u);
  EXPECT_EQ(dump.v[0] - dump.k[0], 2 * 5 * 4 * 2);
  EXPECT_EQ(read(written(two_layers(), {{"span", "boundary"}})).span, "boundary");
  EXPECT_FALSE(read(written(two_layers())).prompt_tokens.has_value());
}

TEST(KvDump, CopiesNumbersThatLieAtOddAddresses) {
  for (const char* const dtype : {"F16", "F32"})
    for (const int padding : {0, 1, 2, 3}) {
      const std::string file = written(two_layers(dtype), {}, padding);
      const KvDump dump = read(file);
      const std::size_t bytes = 2 * 5 * 4 * size_of(dump.dtype);
      for (std::size_t layer = 0; layer < 2; ++layer)
        for (const bool value : {false, true}) {
          const std::byte* const data = (value ? dump.v : dump.k)[layer];
          EXPECT_EQ(reinterpret_cast<std::uintptr_t>(data) % size_of(dump.dtype), 0u);
          EXPECT_EQ(std::memcmp(data, file.data() + file.size() - (4 - 2 * layer - (value ? 1 : 0)) * bytes, bytes), 0);
        }
    }
}

TEST(KvDump, NamesWhatIsWrong) {
  auto tensors = two_layers();
  tensors[3].shape = {2, 6, 4};
  expect_refused(tensors, {}, "tensor 'layers.1.v': found F16 [2, 6, 4], F16 [2, 5, 4] was needed, as of 'layers.0.k'");
  tensors = two_layers();
  tensors[2].dtype = "BF16";
  expect_refused(tensors, {}, "tensor 'layers.1.k': found BF16 [2, 5, 4], F16 [2, 5, 4] was needed");
  tensors = two_layers();
  tensors[2].shape = {10, 4};
  expect_refused(tensors, {}, "tensor 'layers.1.k': found [10, 4], [kv heads, positions, head dim]");
  tensors[2].shape = {2, 2, 5, 4};
  expect_refused(tensors, {}, "tensor 'layers.1.k': found [2, 2, 5, 4]");
  expect_refused(two_layers("F16", {2, 0, 4}), {}, "found [2, 0, 4]");
  tensors = two_layers();
  tensors.pop_back();
  expect_refused(tensors, {}, "tensor 'layers.1.v' is not there");
  tensors.erase(tensors.begin(), tensors.begin() + 2);
  expect_refused(tensors, {}, "tensor 'layers.0.k' is not there");
  for (const char* const name :
       {"layers.00.k", "layers.-1.k", "layers.x.k", "layers.1.q", "layers.99999.k", "lm_head"}) {
    tensors = two_layers();
    tensors.push_back({name, "F16", {1}});
    expect_refused(tensors, {}, cat("tensor '", name, "' with shape [1] is not known"));
  }
  expect_refused({}, {}, "found no tensors");
  tensors = two_layers();
  tensors.push_back({"inverse_frequencies", "F32", {3}});
  expect_refused(tensors, {}, "tensor 'inverse_frequencies': found F32 [3], F32 [head dim / 2] for a head dim of 4");
  for (const char* const count : {"0", "6", "-1", "", "x", "99999999999999999999", "3 "})
    expect_refused(two_layers(), {{"prompt_tokens", count}}, cat("metadata 'prompt_tokens' is '", count, "'"));
  for (const char* const span : {"", "answer", "3:3", "2:6", "-1:3", "1:2:3", ":", "1"})
    expect_refused(two_layers(), {{"span", span}}, cat("metadata 'span' is '", span, "'"));
  expect_refused(two_layers(), {{"span", 3}}, "metadata 'span' is number, a string was needed");
  expect_refused(two_layers(), Json::array(), "'__metadata__' is array");
}

}  // namespace
}  // namespace kvgauge::testing
