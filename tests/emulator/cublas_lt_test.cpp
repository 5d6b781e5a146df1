// The vendor's interface as emulated: what it refuses, and why. What it computes: products_test.cpp, through the back
// end's class.
#include "cublas_lt.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "cublasLt.h"
#include "device_array.h"
#include "emulator_control.h"
#include "support/paths.h"

namespace kvgauge::testing {
namespace {

namespace emulator = cuda::emulator;

std::string last_log;
void keep_log(int, const char* function, const char* message) { last_log = std::string(function) + ": " + message; }

/// One call of the library, right as it stands: D[m,n] = A^T B with A stored [k,m], B [k,n], all by columns. Tests
/// change one thing.
struct VendorProduct {
  std::int64_t m = 24, n = 20, k = 40;
  cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
  cudaDataType types[4] = {CUDA_R_32F, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F};  // A, B, C, D
  cublasOperation_t transposed_a = CUBLAS_OP_T, transposed_b = CUBLAS_OP_N;
  std::int32_t order_b = CUBLASLT_ORDER_COL;
  std::int64_t a_rows = k, a_columns = m, b_rows = k, b_columns = n, lda = k, ldb = k, ldd = m;
  float alpha = 1, beta = 0;
  std::size_t workspace_bytes = 1 << 16, promised_workspace = 1 << 16;
  std::size_t b_offset = 0;  // elements beyond the begin of B's allocation
  std::function<void(cublasLtMatrixLayout_t* of_a_b_d)> before_product = {};  // after the heuristic
  cudaStream_t stream = nullptr;

  DeviceArray<float> a{std::vector<float>(static_cast<std::size_t>(m * k), 0.5f)},
      b{std::vector<float>(static_cast<std::size_t>(n * k), 0.25f)}, d{static_cast<std::size_t>(m * n)};
  DeviceArray<std::byte> workspace{1 << 16};

  /// @return "" or what the library logged with its refusal
  std::string run() {
    last_log.clear();
    cublasLtLoggerSetCallback(keep_log);
    cublasLtLoggerSetLevel(1);
    cublasLtHandle_t library = nullptr;
    cublasLtMatmulDesc_t operation = nullptr;
    cublasLtMatmulPreference_t preference = nullptr;
    cublasLtMatrixLayout_t layouts[3] = {};
    cublasLtCreate(&library);
    cublasLtMatmulDescCreate(&operation, compute, CUDA_R_32F);
    cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_TRANSA, &transposed_a, sizeof(transposed_a));
    cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_TRANSB, &transposed_b, sizeof(transposed_b));
    cublasLtMatrixLayoutCreate(&layouts[0], types[0], static_cast<std::uint64_t>(a_rows),
                               static_cast<std::uint64_t>(a_columns), lda);
    cublasLtMatrixLayoutCreate(&layouts[1], types[1], static_cast<std::uint64_t>(b_rows),
                               static_cast<std::uint64_t>(b_columns), ldb);
    cublasLtMatrixLayoutSetAttribute(layouts[1], CUBLASLT_MATRIX_LAYOUT_ORDER, &order_b, sizeof(order_b));
    cublasLtMatrixLayoutCreate(&layouts[2], types[3], static_cast<std::uint64_t>(m), static_cast<std::uint64_t>(n),
                               ldd);
    cublasLtMatmulPreferenceCreate(&preference);
    const std::uint64_t promised = promised_workspace;
    cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &promised,
                                         sizeof(promised));
    cublasLtMatmulHeuristicResult_t found{};
    int count = 0;
    cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(library, operation, layouts[0], layouts[1], layouts[2],
                                                           layouts[2], preference, 1, &found, &count);
    if (status == CUBLAS_STATUS_SUCCESS) {
      if (before_product) before_product(layouts);
      status = cublasLtMatmul(library, operation, &alpha, a.data(), layouts[0], b.data() + b_offset, layouts[1], &beta,
                              d.data(), layouts[2], d.data(), layouts[2], &found.algo, workspace.data(),
                              workspace_bytes, stream);
    }
    EXPECT_EQ(status == CUBLAS_STATUS_SUCCESS, last_log.empty()) << cublasLtGetStatusName(status);
    for (const auto layout : layouts) cublasLtMatrixLayoutDestroy(layout);
    cublasLtMatmulPreferenceDestroy(preference);
    cublasLtMatmulDescDestroy(operation);
    cublasLtDestroy(library);
    return last_log;
  }
};

class CublasLt : public ::testing::Test {
 protected:
  void SetUp() override {
    emulator::reset();
    objects_ = emulator::blas_counters().live_objects;
  }
  void TearDown() override {
    EXPECT_EQ(emulator::blas_counters().live_objects, objects_);
    EXPECT_EQ(emulator::live_allocations(), 0u);
  }

 private:
  std::int64_t objects_ = 0;
};

void expect_refused(VendorProduct& product, const std::string& why) {
  const std::string log = product.run();
  EXPECT_NE(log.find(why), std::string::npos) << "logged: '" << log << "'";
}

TEST_F(CublasLt, MultipliesWhenAskedToAndNotBefore) {
  VendorProduct product;
  ASSERT_EQ(cudaStreamCreateWithFlags(&product.stream, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(product.run(), "");
  float now = 0;
  std::memcpy(&now, product.d.data(), sizeof(now));  // past the interface: nobody has waited
  EXPECT_TRUE(std::isnan(now)) << now;
  for (const float x : product.d.values()) ASSERT_EQ(x, 40 * 0.5f * 0.25f);
  cudaStreamDestroy(product.stream);
}

TEST_F(CublasLt, RefusesALeadingDimensionBelowTheColumnsLength) {
  VendorProduct product;
  product.lda = product.k - 1;
  expect_refused(product, "A is f32[40,24] ld 39: the leading dimension must be at least 40");
}

TEST_F(CublasLt, RefusesAMatrixThatEndsPastItsAllocation) {
  VendorProduct strided;
  strided.ldb = strided.k + 1;  // fits op(A) op(B), but the last columns are not there
  expect_refused(strided, "B: 3276 bytes from offset 0 of cudaMalloc 2, which has 3200");
  VendorProduct shifted;
  shifted.b_offset = 64;
  expect_refused(shifted, "B: 3200 bytes from offset 256 of cudaMalloc");
  VendorProduct freed;
  freed.before_product = [&](cublasLtMatrixLayout_t*) { freed.b.free(); };
  expect_refused(freed, "B is null");
}

TEST_F(CublasLt, RefusesOperandsThatDoNotFit) {
  VendorProduct transposed;  // the seeded bug of a port from row-major: A is given as it would lie there
  transposed.transposed_a = CUBLAS_OP_N;
  expect_refused(transposed, "op(A) is [40,24], op(B) [40,20]");
  VendorProduct both;
  both.transposed_b = CUBLAS_OP_T;
  expect_refused(both, "op(B) [20,40]");
}

/// Square operands fit either way: there only the numbers tell.
TEST_F(CublasLt, ATransposedSquareOperandGivesOtherNumbers) {
  std::vector<float> a(32 * 32);
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i % 7) - 3;
  std::vector<float> results[2];
  for (const bool transposed : {false, true}) {
    VendorProduct product{.m = 32, .n = 32, .k = 32};
    product.a.set(a);
    product.b.set(a);
    product.transposed_a = transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    ASSERT_EQ(product.run(), "");
    results[transposed] = product.d.values();
  }
  EXPECT_NE(results[0], results[1]);
}

TEST_F(CublasLt, RefusesTypesThatTheLibraryDoesNotCombine) {
  VendorProduct mixed;
  mixed.types[0] = CUDA_R_16BF;
  expect_refused(mixed, "A bf16, B f32, C f32, D f32");
  VendorProduct narrow;
  narrow.types[3] = CUDA_R_16BF;
  expect_refused(narrow, "no such product");
  VendorProduct half;
  half.compute = CUBLAS_COMPUTE_16F;
  expect_refused(half, "compute type 64");
}

TEST_F(CublasLt, RefusesAWorkspaceBelowTheAlgorithmsNeed) {
  VendorProduct product{.n = 1};
  product.workspace_bytes = 24 * 4 * 4 - 1;  // 4 parts of K, m floats each
  expect_refused(product, "the algorithm needs 384 bytes of workspace, 383 are given");
  VendorProduct modest{.n = 1};  // an honest promise: another algorithm is found
  modest.workspace_bytes = modest.promised_workspace = 0;
  EXPECT_EQ(modest.run(), "");
}

TEST_F(CublasLt, RefusesPointersBelowThePromisedAlignment) {
  VendorProduct product{.n = 20};
  product.b_columns = product.n = 19;  // leaves room for the offset
  product.b_offset = 3;
  expect_refused(product, "B: its address is 12 bytes past a multiple of 256");
}

TEST_F(CublasLt, RefusesAnAlgorithmOfAnotherShape) {
  VendorProduct product;
  product.b_columns = product.n = 10;
  product.before_product = [](cublasLtMatrixLayout_t* of_a_b_d) {
    const std::uint64_t columns = 20;
    for (const int i : {1, 2})
      cublasLtMatrixLayoutSetAttribute(of_a_b_d[i], CUBLASLT_MATRIX_LAYOUT_COLS, &columns, sizeof(columns));
  };
  expect_refused(product, "the algorithm was chosen for m 24 n 10 k 40, the product has m 24 n 20 k 40");
}

TEST_F(CublasLt, RefusesHandlesThatAreGone) {
  cublasLtMatrixLayout_t layout = nullptr;
  ASSERT_EQ(cublasLtMatrixLayoutCreate(&layout, CUDA_R_32F, 4, 4, 4), CUBLAS_STATUS_SUCCESS);
  ASSERT_EQ(cublasLtMatrixLayoutDestroy(layout), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(cublasLtMatrixLayoutDestroy(layout), CUBLAS_STATUS_NOT_INITIALIZED);
  const std::uint64_t rows = 4;
  EXPECT_EQ(cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_ROWS, &rows, sizeof(rows)),
            CUBLAS_STATUS_NOT_INITIALIZED);
}

TEST_F(CublasLt, MemoryFreedBeforeTheProductRanIsAFault) {
  VendorProduct product;
  ASSERT_EQ(cudaStreamCreateWithFlags(&product.stream, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaStreamBeginCapture(product.stream, cudaStreamCaptureModeRelaxed), cudaSuccess);
  ASSERT_EQ(product.run(), "");
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  ASSERT_EQ(cudaStreamEndCapture(product.stream, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&exec, graph), cudaSuccess);
  ASSERT_EQ(cudaGraphLaunch(exec, product.stream), cudaSuccess);
  EXPECT_EQ(product.d.values()[0], 5.0f);
  product.b.free();
  static_cast<void>(cudaGraphLaunch(exec, product.stream));
  EXPECT_NE(cudaStreamSynchronize(product.stream), cudaSuccess);
  ASSERT_TRUE(emulator::last_fault().has_value());
  EXPECT_NE(emulator::last_fault()->text.find("cublasLtMatmul, when it ran: B: not in a live device allocation"),
            std::string::npos)
      << emulator::last_fault()->text;
  emulator::reset();
}

/// TF32 drops 13 bits: code that must not use it can be told from code that does.
TEST_F(CublasLt, Tf32IsNotF32) {
  std::vector<float> results[2];
  for (const bool tf32 : {false, true}) {
    VendorProduct product;
    product.a.set(std::vector<float>(static_cast<std::size_t>(product.m * product.k), 1 + 0x1p-12f));
    if (tf32) product.compute = CUBLAS_COMPUTE_32F_FAST_TF32;
    ASSERT_EQ(product.run(), "");
    results[tf32] = product.d.values();
  }
  EXPECT_EQ(results[0][0], 10 * (1 + 0x1p-12f));
  EXPECT_EQ(results[1][0], 10.0f);
}

}  // namespace
}  // namespace kvgauge::testing
