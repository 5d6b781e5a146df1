// The kernels against the loader's own widening, bit for bit: both do the same one or two float operations on each
// value. (That widening is judged by the gguf package in tests/loader.)
#include "cuda/unpack_weights.h"

#include <bit>

#include "cuda/stream.h"
#include "loader/stored_tensor.h"
#include "ops_support.h"

namespace kvgauge::testing {
namespace {

class UnpackWeights : public OnEveryExecutor {};

constexpr StoredType kTypes[] = {StoredType::kF32,  StoredType::kF16,  StoredType::kBF16, StoredType::kQ8_0,
                                 StoredType::kQ4_0, StoredType::kQ4_1, StoredType::kQ5_0, StoredType::kQ5_1,
                                 StoredType::kQ4_K, StoredType::kQ5_K, StoredType::kQ6_K};

/// Any bytes are blocks of any type; a 32nd of their scales are infinite or NaN, as many are subnormal.
DeviceVector<std::byte> random_bytes(Random& random, std::size_t count) {
  DeviceVector<std::byte> bytes(count);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
  return bytes;
}

void expect_unpacked(const DeviceVector<std::byte>& bytes, std::size_t offset, StoredType type,
                     const GuardedMatrix& out) {
  const MatrixView& view = out.view();
  std::vector<float> want(static_cast<std::size_t>(view.rows * view.columns));
  widen(type, bytes.data() + offset, view.rows * view.columns, want.data());
  if (view.dtype == DType::kBF16)
    for (float& x : want) x = to_float(to_bf16(x));
  for (std::int64_t r = 0; r < view.rows; ++r) {
    for (std::int64_t c = 0; c < view.columns; ++c) {
      const float got = out.at(r, c), expected = want[static_cast<std::size_t>(r * view.columns + c)];
      if (std::isnan(expected)) {  // processors differ in the bits of a NaN
        ASSERT_TRUE(std::isnan(got)) << name(type) << " row " << r << " column " << c;
      } else {
        ASSERT_EQ(std::bit_cast<std::uint32_t>(got), std::bit_cast<std::uint32_t>(expected))
            << name(type) << " row " << r << " column " << c << ": " << got << ", not " << expected;
      }
    }
  }
  EXPECT_TRUE(out.intact());
}

TEST_P(UnpackWeights, EqualsTheLoaderBitForBit) {
  Random random(test_seed(81));
  const auto backend = backend_for(GetParam());  // makes the executor current
  const cuda::Stream stream;
  const cuda::Event done;
  for (const StoredType type : kTypes) {
    const std::int64_t block = block_elements(type);
    // One block; an odd number of ragged rows; several tiles of 2048 values and a part of one.
    const std::pair<std::int64_t, std::int64_t> shapes[] = {
        {1, 1}, {7, block == 1 ? 37 : 3}, {3, block == 1 ? 2504 : 9}, {67, 1}};
    for (const auto& [rows, blocks] : shapes) {
      const std::int64_t columns = blocks * block;
      for (const std::size_t offset : {0, 2}) {  // blocks are aligned to 2 bytes where a file is not laid out for more
        for (const DType dtype : {DType::kF32, DType::kBF16}) {
          const auto bytes =
              random_bytes(random, offset + stored_bytes(type, static_cast<std::uint64_t>(rows * columns)));
          GuardedMatrix out(rows, columns, dtype, offset == 0 ? 8 : 5);
          cuda::launch_unpack_weights({.source = bytes.data() + offset, .type = type, .out = out.view()}, stream.get());
          done.record(stream);
          done.wait();
          expect_unpacked(bytes, offset, type, out);
        }
      }
    }
  }
}

TEST_P(UnpackWeights, NothingIsLaunchedForNoRows) {
  const auto backend = backend_for(GetParam());
  const cuda::Stream stream;
  cuda::launch_unpack_weights({.type = StoredType::kQ4_K, .out = {.columns = 256, .stride = 256}}, stream.get());
  backend->wait();
}

KVGAUGE_ON_EVERY_DEVICE(UnpackWeights);

}  // namespace
}  // namespace kvgauge::testing
