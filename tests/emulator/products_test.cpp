// The back end's products (cuda/blas.h) over the emulated cuBLASLt.
#include "cuda/blas.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "core/cat.h"
#include "cublas_lt.h"
#include "device_array.h"
#include "emulator_control.h"
#include "kvgauge/error.h"
#include "reference/linear.h"
#include "support/paths.h"

namespace kvgauge::testing {
namespace {

namespace emulator = cuda::emulator;
using cuda::Products;

std::vector<float> uniform(std::mt19937_64& random, std::int64_t count, DType dtype) {
  std::uniform_real_distribution<float> number(-1, 1);
  std::vector<float> out(static_cast<std::size_t>(count));
  for (float& x : out) {
    x = number(random);
    if (dtype == DType::kBF16) x = to_float(to_bf16(x));
  }
  return out;
}

/// A matrix of the device whose rows are `gap` elements apart; the gaps hold NaN.
class DeviceMatrix {
 public:
  DeviceMatrix(std::int64_t rows, std::int64_t columns, DType dtype, std::int64_t gap)
      : rows_(rows),
        columns_(columns),
        stride_(columns + gap),
        dtype_(dtype),
        memory_(static_cast<std::size_t>(rows * stride_) * size_of(dtype)) {
    memory_.set(std::vector<std::byte>(memory_.count(), std::byte{0xff}));
  }
  DeviceMatrix(const std::vector<float>& values, std::int64_t rows, DType dtype, std::int64_t gap)
      : DeviceMatrix(rows, static_cast<std::int64_t>(values.size()) / rows, dtype, gap) {
    std::vector<std::byte> bytes(memory_.count(), std::byte{0xff});
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto row = static_cast<std::int64_t>(i) / columns_, column = static_cast<std::int64_t>(i) % columns_;
      std::byte* to = bytes.data() + static_cast<std::size_t>(row * stride_ + column) * size_of(dtype_);
      const bf16_t narrow = to_bf16(values[i]);
      std::memcpy(to, dtype_ == DType::kBF16 ? static_cast<const void*>(&narrow) : &values[i], size_of(dtype_));
    }
    memory_.set(bytes);
  }
  /// Rows [first, first + rows) of it.
  MatrixView view(std::int64_t first, std::int64_t rows) const {
    return {memory_.data() + static_cast<std::size_t>(first * stride_) * size_of(dtype_), dtype_, rows, columns_,
            stride_};
  }
  MatrixView view() const { return view(0, rows_); }
  const std::byte* data() const { return memory_.data(); }
  /// Of an f32 matrix; waits for the device and expects the gaps unchanged.
  std::vector<float> values() const {
    const std::vector<std::byte> bytes = memory_.values();
    std::vector<float> out;
    for (std::int64_t row = 0; row < rows_; ++row)
      for (std::int64_t column = 0; column < stride_; ++column) {
        float x;
        std::memcpy(&x, bytes.data() + static_cast<std::size_t>(row * stride_ + column) * sizeof(x), sizeof(x));
        if (column < columns_) {
          out.push_back(x);
        } else {
          EXPECT_TRUE(std::isnan(x)) << "row " << row << " column " << column;
        }
      }
    return out;
  }

 private:
  std::int64_t rows_, columns_, stride_;
  DType dtype_;
  DeviceArray<std::byte> memory_;
};

/// A stream, scratch and the products that use them.
class Device {
 public:
  explicit Device(bool batch_invariant, std::size_t workspace_bytes = 1 << 20)
      : workspace_(workspace_bytes),
        tile_(batch_invariant ? Products::tile_bytes({.n = 512, .k = 512, .dtype = DType::kF32}) : 1) {
    EXPECT_EQ(cudaStreamCreateWithFlags(&stream_, 1), cudaSuccess);
    products_ = std::make_unique<Products>(cuda::ProductsConfig{.stream = stream_,
                                                                .workspace = workspace_.data(),
                                                                .workspace_bytes = workspace_bytes,
                                                                .batch_invariant = batch_invariant,
                                                                .tile = tile_.data(),
                                                                .tile_bytes = tile_.count()});
  }
  ~Device() {
    products_.reset();
    static_cast<void>(cudaStreamDestroy(stream_));
  }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  Products& products() { return *products_; }
  cudaStream_t stream() const { return stream_; }

 private:
  DeviceArray<std::byte> workspace_, tile_;
  cudaStream_t stream_ = nullptr;
  std::unique_ptr<Products> products_;
};

class ProductsTest : public ::testing::Test {
 protected:
  void SetUp() override { emulator::reset(); }
  void TearDown() override {
    EXPECT_EQ(emulator::live_allocations(), 0u);
    EXPECT_EQ(emulator::live_handles(), 0u);
    EXPECT_EQ(emulator::blas_counters().live_objects, 0);
  }
};

TEST_F(ProductsTest, MatchTheReferenceInEveryShapeAndType) {
  std::mt19937_64 random(test_seed(31));
  constexpr struct {
    std::int64_t n, k, gap;
  } kCases[] = {{1, 1, 0}, {7, 3, 0}, {33, 5, 3}, {64, 16, 0}, {65, 31, 1}, {130, 77, 8}, {96, 192, 0}, {31, 256, 5}};
  for (const bool batch_invariant : {false, true})
    for (const DType dtype : {DType::kF32, DType::kBF16})
      for (const auto& [n, k, gap] : kCases) {
        Device device(batch_invariant);
        const auto weight = uniform(random, n * k, dtype);
        const DeviceMatrix w(weight, n, dtype, 0);
        for (const std::int64_t rows : {1, 2, 3, 5, 16, 17, 40, 63, 64, 65, 130, 300}) {
          const auto x = uniform(random, rows * k, dtype);
          const DeviceMatrix in(x, rows, dtype, gap), out(rows, n, DType::kF32, gap);
          device.products().multiply(in.view(), w.data(), out.view());
          const auto got = out.values();
          const auto want = reference_linear(x, weight, rows, n, k);
          for (std::size_t i = 0; i < got.size();
               ++i)  // k products and k additions, each rounded once: eps of a partial sum <= magnitude
            ASSERT_NEAR(got[i], want.out[i], 2 * static_cast<double>(k) * 0x1p-24 * want.magnitude[i])
                << name(dtype) << " rows " << rows << " n " << n << " k " << k << " at " << i;
        }
      }
}

/// The bits of each row of `all` rows, computed in batches of 1 to 130 rows; whether they are those of one call for
/// all.
bool same_bits_in_every_batch(bool batch_invariant, DType dtype, std::int64_t gap) {
  std::mt19937_64 random(test_seed(32));
  constexpr std::int64_t kRows = 200, kN = 70, kK = 200;
  Device device(batch_invariant);
  const DeviceMatrix w(uniform(random, kN * kK, dtype), kN, dtype, 0);
  const DeviceMatrix x(uniform(random, kRows * kK, dtype), kRows, dtype, gap);
  const DeviceMatrix all(kRows, kN, DType::kF32, gap);
  device.products().multiply(x.view(), w.data(), all.view());
  const auto want = all.values();
  bool same = true;
  for (std::int64_t rows = 1; rows <= 130; ++rows) {
    const std::int64_t first = std::uniform_int_distribution<std::int64_t>(0, kRows - rows)(random);
    const DeviceMatrix part(rows, kN, DType::kF32, rows % 3);
    device.products().multiply(x.view(first, rows), w.data(), part.view());
    const auto got = part.values();
    same = same && std::memcmp(got.data(), want.data() + first * kN, got.size() * sizeof(float)) == 0;
  }
  return same;
}

TEST_F(ProductsTest, BatchInvariantRowsHaveTheSameBitsInAnyBatch) {
  for (const DType dtype : {DType::kF32, DType::kBF16})
    for (const std::int64_t gap : {0, 3})
      EXPECT_TRUE(same_bits_in_every_batch(true, dtype, gap)) << name(dtype) << " gap " << gap;
}

/// The emulated library sums in another order for other row counts, as the vendor's does: without the flag the rows
/// differ, so the test above can fail.
TEST_F(ProductsTest, WithoutBatchInvarianceTheBitsDependOnTheBatch) {
  for (const DType dtype : {DType::kF32, DType::kBF16})
    EXPECT_FALSE(same_bits_in_every_batch(false, dtype, 0)) << name(dtype);
}

TEST_F(ProductsTest, PreparedShapesAskNoHeuristic) {
  std::mt19937_64 random(test_seed(33));
  for (const bool batch_invariant : {false, true}) {
    Device device(batch_invariant);
    device.products().prepare({.n = 48, .k = 32, .dtype = DType::kF32}, 100);
    const auto asked = device.products().heuristics_asked();
    EXPECT_EQ(asked, batch_invariant ? 1 : 8);  // one, or for 1, 2, 4, ..., 128 rows
    const DeviceMatrix w(uniform(random, 48 * 32, DType::kF32), 48, DType::kF32, 0),
        x(uniform(random, 100 * 32, DType::kF32), 100, DType::kF32, 0);
    const DeviceMatrix out(100, 48, DType::kF32, 0);
    const auto before = emulator::blas_counters();
    for (std::int64_t rows = 1; rows <= 100; ++rows)
      device.products().multiply(x.view(100 - rows, rows), w.data(), out.view(0, rows));
    EXPECT_EQ(device.products().heuristics_asked(), asked);
    EXPECT_EQ(emulator::blas_counters().heuristics, before.heuristics);
    EXPECT_EQ(emulator::blas_counters().live_objects, before.live_objects);
    EXPECT_EQ(emulator::blas_counters().products,
              before.products + (batch_invariant ? 100 + 36 : 100));  // 65..100 rows: two tiles
    ASSERT_EQ(cudaStreamSynchronize(device.stream()), cudaSuccess);
  }
}

TEST_F(ProductsTest, NoRowsAreNoWork) {
  Device device(true);
  const auto before = emulator::blas_counters().products;
  device.products().multiply({nullptr, DType::kF32, 0, 8, 8}, nullptr, {nullptr, DType::kF32, 0, 8, 8});
  EXPECT_EQ(emulator::blas_counters().products, before);
}

TEST_F(ProductsTest, AGraphReplaysThem) {
  std::mt19937_64 random(test_seed(34));
  for (const bool batch_invariant : {false, true}) {
    Device device(batch_invariant);
    const DeviceMatrix w(uniform(random, 40 * 64, DType::kBF16), 40, DType::kBF16, 0),
        x(uniform(random, 6 * 64, DType::kBF16), 6, DType::kBF16, 0);
    const DeviceMatrix direct(6, 40, DType::kF32, 0), replayed(6, 40, DType::kF32, 0);
    device.products().prepare({.n = 40, .k = 64, .dtype = DType::kBF16}, 6);
    device.products().multiply(x.view(), w.data(), direct.view());
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t exec = nullptr;
    ASSERT_EQ(cudaStreamBeginCapture(device.stream(), cudaStreamCaptureModeThreadLocal), cudaSuccess);
    device.products().multiply(x.view(), w.data(), replayed.view());
    ASSERT_EQ(cudaStreamEndCapture(device.stream(), &graph), cudaSuccess);
    ASSERT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
    EXPECT_TRUE(std::isnan(replayed.values()[0]));
    ASSERT_EQ(cudaGraphLaunch(exec, device.stream()), cudaSuccess);
    EXPECT_EQ(replayed.values(), direct.values());
    static_cast<void>(cudaGraphExecDestroy(exec));
    static_cast<void>(cudaGraphDestroy(graph));
  }
}

template <class Body>
std::string device_error(Body body) {
  try {
    body();
  } catch (const DeviceError& error) {
    return error.what();
  }
  return "no error";
}

TEST_F(ProductsTest, ErrorsNameTheShapeAndTheReason) {
  std::mt19937_64 random(test_seed(35));
  Device device(false);
  const DeviceMatrix w(uniform(random, 48 * 32, DType::kF32), 48, DType::kF32, 0),
      x(uniform(random, 4 * 32, DType::kF32), 4, DType::kF32, 0);
  const DeviceMatrix out(5, 48, DType::kF32, 0);
  EXPECT_EQ(device_error([&] { device.products().multiply(x.view(0, 5), w.data(), out.view()); })
                .find("cublasLt: cublasLtMatmul m 48 n 5 k 32 f32: "
                      "CUBLAS_STATUS_INVALID_VALUE (cublasLtMatmul: B: 640 bytes from offset 0 of cudaMalloc "),
            0u);
  const auto no_room = device_error([&] {
    Products small({.stream = device.stream(),
                    .workspace = nullptr,
                    .workspace_bytes = 0,
                    .batch_invariant = true,
                    .tile = nullptr,
                    .tile_bytes = 0});
    small.prepare({.n = 48, .k = 32, .dtype = DType::kBF16}, 4);
  });
  EXPECT_EQ(no_room, cat("products: n 48 k 32 bf16 with --batch-invariant needs ",
                         Products::tile_bytes({.n = 48, .k = 32, .dtype = DType::kBF16}),
                         " bytes of tile scratch, 0 were reserved"));
  emulator::fail_call("cublasLtMatmul", 1, cudaErrorLaunchFailure);
  EXPECT_NE(device_error([&] {
              device.products().multiply(x.view(), w.data(), out.view());
            }).find("CUBLAS_STATUS_EXECUTION_FAILED"),
            std::string::npos);
}

}  // namespace
}  // namespace kvgauge::testing
