#include "cuda/graph.h"

#include <cuda_runtime_api.h>

#include "cuda/check.h"

namespace kvgauge::cuda {

GraphCache::~GraphCache() { clear(); }

void GraphCache::clear() {
  for (const auto& [key, graph] : graphs_) cudaGraphExecDestroy(graph);
  graphs_.clear();
}

void GraphCache::run(const GraphKey& key, const std::function<void()>& operations) {
  auto found = graphs_.find(key);
  if (found == graphs_.end()) found = graphs_.emplace(key, capture(operations)).first;
  check_cuda(cudaGraphLaunch(found->second, stream_.get()), "cudaGraphLaunch");
}

CUgraphExec_st* GraphCache::capture(const std::function<void()>& operations) {
  check_cuda(cudaStreamBeginCapture(stream_.get(), cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  cudaGraph_t graph = nullptr;
  try {
    operations();
  } catch (...) {
    cudaStreamEndCapture(stream_.get(), &graph);
    if (graph != nullptr) cudaGraphDestroy(graph);
    cudaGetLastError();
    throw;
  }
  check_cuda(cudaStreamEndCapture(stream_.get(), &graph), "cudaStreamEndCapture");
  cudaGraphExec_t executable = nullptr;
  const cudaError_t status = cudaGraphInstantiate(&executable, graph, 0);
  cudaGraphDestroy(graph);
  check_cuda(status, "cudaGraphInstantiate");
  return executable;
}

}  // namespace kvgauge::cuda
