// Capture and replay, and what a capture forbids.
#include "emulator_test.h"

namespace kvgauge::cuda {

struct StepArgs {
  int* value;
  int add;
};
__global__ void step_kernel(StepArgs args) { *args.value = *args.value * 10 + args.add; }

}  // namespace kvgauge::cuda

namespace kvgauge::testing {
namespace {

using cuda::launch;

class Graphs : public EmulatorTest {
 protected:
  void SetUp() override {
    EmulatorTest::SetUp();
    cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking);
    cudaStreamCreateWithFlags(&side_, cudaStreamNonBlocking);
    cudaEventCreateWithFlags(&fork_, cudaEventDisableTiming);
    cudaEventCreateWithFlags(&join_, cudaEventDisableTiming);
    cudaMalloc(&value_, 4);
    cudaMemset(value_, 0, 4);
    cudaDeviceSynchronize();
  }
  void step(cudaStream_t stream, int add) { launch(stream, {dim3(1), dim3(1)}, cuda::step_kernel, {value_, add}); }
  cudaError_t begin() { return cudaStreamBeginCapture(stream_, cudaStreamCaptureModeGlobal); }
  cudaError_t end() { return cudaStreamEndCapture(stream_, &graph_); }

  cudaStream_t stream_ = nullptr, side_ = nullptr;
  cudaEvent_t fork_ = nullptr, join_ = nullptr;
  cudaGraph_t graph_ = nullptr;
  cudaGraphExec_t exec_ = nullptr;
  int* value_ = nullptr;
};

TEST_F(Graphs, ACapturedSequenceIsReplayedAndNotRun) {
  ASSERT_EQ(begin(), cudaSuccess);
  step(stream_, 1);
  step(stream_, 2);
  cudaStreamCaptureStatus status{};
  EXPECT_EQ(cudaStreamIsCapturing(stream_, &status), cudaSuccess);
  EXPECT_EQ(status, cudaStreamCaptureStatusActive);
  ASSERT_EQ(end(), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_EQ(*value_, 0) << "a captured kernel does not run";
  std::size_t nodes = 0;
  EXPECT_EQ(cudaGraphGetNodes(graph_, nullptr, &nodes), cudaSuccess);
  EXPECT_EQ(nodes, 2u);
  ASSERT_EQ(cudaGraphInstantiate(&exec_, graph_), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph_), cudaSuccess);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(cudaGraphLaunch(exec_, stream_), cudaSuccess);
  step(stream_, 3);
  EXPECT_EQ(*value_, 0) << "nobody has waited";
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(*value_, 12123);
  EXPECT_EQ(emulator::counters().graph_launches, 2);
  EXPECT_EQ(cudaGraphExecDestroy(exec_), cudaSuccess);
  EXPECT_EQ(cudaGraphLaunch(exec_, stream_), cudaErrorInvalidResourceHandle);
}

TEST_F(Graphs, AForkedStreamTakesPartAndMustJoin) {
  ASSERT_EQ(begin(), cudaSuccess);
  step(stream_, 1);
  EXPECT_EQ(cudaEventRecord(fork_, stream_), cudaSuccess);
  EXPECT_EQ(cudaStreamWaitEvent(side_, fork_), cudaSuccess);
  step(side_, 2);
  EXPECT_EQ(cudaEventRecord(join_, side_), cudaSuccess);
  EXPECT_EQ(cudaStreamWaitEvent(stream_, join_), cudaSuccess);
  step(stream_, 3);
  ASSERT_EQ(end(), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&exec_, graph_), cudaSuccess);
  cudaGraphLaunch(exec_, stream_);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(*value_, 123);

  ASSERT_EQ(begin(), cudaSuccess);
  cudaEventRecord(fork_, stream_);
  cudaStreamWaitEvent(side_, fork_);
  step(side_, 2);
  EXPECT_EQ(end(), cudaErrorStreamCaptureUnjoined);
  EXPECT_EQ(graph_, nullptr);
}

TEST_F(Graphs, ForbiddenCallsInvalidateTheCapture) {
  void* memory = nullptr;
  const std::pair<const char*, std::function<cudaError_t()>> calls[] = {
      {"cudaMalloc", [&] { return cudaMalloc(&memory, 4); }},
      {"cudaStreamSynchronize", [&] { return cudaStreamSynchronize(stream_); }},
      {"cudaDeviceSynchronize", [&] { return cudaDeviceSynchronize(); }},
      {"cudaStreamQuery", [&] { return cudaStreamQuery(stream_); }},
      {"cudaMemcpy", [&] { return cudaMemcpy(&memory, value_, 4, cudaMemcpyDeviceToHost); }},
      {"captured event", [&] { return cudaEventRecord(fork_, stream_), cudaEventSynchronize(fork_); }},
      {"outside event", [&] { return cudaEventRecord(join_, side_), cudaStreamWaitEvent(stream_, join_); }},
  };
  for (const auto& [name, call] : calls) {
    ASSERT_EQ(begin(), cudaSuccess) << name;
    step(stream_, 1);
    EXPECT_NE(call(), cudaSuccess) << name;
    EXPECT_EQ(end(), cudaErrorStreamCaptureInvalidated) << name;
    EXPECT_EQ(graph_, nullptr) << name;
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess) << name << ": the device is not broken";
  }
  EXPECT_EQ(*value_, 0);
}

TEST_F(Graphs, WrongEndsAndHandlesAreRefused) {
  EXPECT_EQ(end(), cudaErrorIllegalState);
  EXPECT_EQ(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeGlobal), cudaErrorStreamCaptureUnsupported);
  ASSERT_EQ(begin(), cudaSuccess);
  EXPECT_EQ(begin(), cudaErrorIllegalState);
  cudaEventRecord(fork_, stream_);
  cudaStreamWaitEvent(side_, fork_);
  EXPECT_EQ(cudaStreamEndCapture(side_, &graph_), cudaErrorStreamCaptureUnmatched);
  EXPECT_EQ(end(), cudaErrorStreamCaptureInvalidated);
  EXPECT_EQ(cudaGraphInstantiate(&exec_, nullptr), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaStreamSynchronize(reinterpret_cast<cudaStream_t>(value_)), cudaErrorInvalidResourceHandle);
}

TEST_F(Graphs, AFaultInAReplayNamesItsKernel) {
  ASSERT_EQ(begin(), cudaSuccess);
  step(stream_, 1);
  ASSERT_EQ(end(), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&exec_, graph_), cudaSuccess);
  emulator::fault_kernel("step_kernel", 1);
  EXPECT_EQ(cudaGraphLaunch(exec_, stream_), cudaSuccess);
  expect_fault(emulator::FaultKind::kOutOfBounds, {"step_kernel"});
}

}  // namespace
}  // namespace kvgauge::testing
