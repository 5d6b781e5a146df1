// Capture of a stream's work as a graph, and its replay.
#include "core/cat.h"
#include "runtime.h"

using namespace kvgauge::cuda::emulator;
using kvgauge::cat;

namespace {

cudaError_t bad_handle(const char* function) {
  return refuse(cudaErrorInvalidResourceHandle, cat(function, ": the handle is not a live one"));
}

/// Whether every stream that took part was waited for by the origin, directly or not.
bool is_joined(Capture& capture) {
  const auto& seen = capture.seen_by[capture.origin];
  for (const auto& [stream, nodes] : capture.nodes_of) {
    if (stream == capture.origin) continue;
    const auto found = seen.find(stream);
    if (found == seen.end() || found->second < nodes) return false;
  }
  return true;
}

}  // namespace

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  return call("cudaStreamBeginCapture", [&] {
    if (handle == nullptr)
      return refuse(cudaErrorStreamCaptureUnsupported, "cudaStreamBeginCapture: the default stream cannot be captured");
    const cudaStream_t stream = resolve(handle);
    if (stream == nullptr) return bad_handle("cudaStreamBeginCapture");
    if (stream->capture != nullptr)
      return refuse(cudaErrorIllegalState, "cudaStreamBeginCapture: the stream is being captured already");
    stream->capture = std::make_shared<Capture>();
    stream->capture->origin = stream;
    stream->capture->mode = mode;
    stream->capture->nodes_of[stream] = 0;
    runtime().captures.push_back(stream->capture);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  return call("cudaStreamEndCapture", [&] {
    const cudaStream_t stream = resolve(handle);
    if (stream == nullptr || graph == nullptr) return bad_handle("cudaStreamEndCapture");
    *graph = nullptr;
    const std::shared_ptr<Capture> capture = stream->capture;
    if (capture == nullptr)
      return refuse(cudaErrorIllegalState, "cudaStreamEndCapture: the stream is not being captured");
    if (capture->origin != stream) {
      capture->invalid = true;
      return cudaErrorStreamCaptureUnmatched;
    }
    for (const auto& [other, nodes] : capture->nodes_of)
      if (runtime().streams.contains(other)) other->capture.reset();
    std::erase(runtime().captures, capture);
    if (capture->invalid) return cudaErrorStreamCaptureInvalidated;
    if (!is_joined(*capture))
      return refuse(cudaErrorStreamCaptureUnjoined, "cudaStreamEndCapture: a forked stream was not joined again");
    runtime().graphs.insert(*graph = new CUgraph_st{std::move(capture->nodes)});
    return cudaSuccess;
  });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  return call("cudaStreamIsCapturing", [&] {
    const cudaStream_t stream = resolve(handle);
    if (stream == nullptr) return bad_handle("cudaStreamIsCapturing");
    *status = stream->capture == nullptr ? cudaStreamCaptureStatusNone
              : stream->capture->invalid ? cudaStreamCaptureStatusInvalidated
                                         : cudaStreamCaptureStatusActive;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  return call("cudaGraphInstantiate", [&] {
    if (!runtime().graphs.contains(graph) || exec == nullptr) return bad_handle("cudaGraphInstantiate");
    runtime().execs.insert(*exec = new CUgraphExec_st{graph->nodes});
    return cudaSuccess;
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t handle) {
  return call("cudaGraphLaunch", [&] {
    const cudaStream_t stream = resolve(handle);
    if (stream == nullptr || !runtime().execs.contains(exec)) return bad_handle("cudaGraphLaunch");
    if (stream->capture != nullptr) return refuse_in_capture(stream, "cudaGraphLaunch");
    ++runtime().counters.graph_launches;
    for (const Work& node : exec->nodes) {
      const cudaError_t error = submit(stream, node);
      if (error != cudaSuccess) return error;
    }
    return cudaSuccess;
  });
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t handle) {
  return call("cudaGraphUpload", [&] {
    return resolve(handle) == nullptr || !runtime().execs.contains(exec) ? bad_handle("cudaGraphUpload") : cudaSuccess;
  });
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, std::size_t* count) {
  return call("cudaGraphGetNodes", [&] {
    if (!runtime().graphs.contains(graph) || count == nullptr) return bad_handle("cudaGraphGetNodes");
    if (nodes != nullptr)
      return refuse(cudaErrorNotSupported, "cudaGraphGetNodes: the emulated device only counts nodes");
    *count = graph->nodes.size();
    return cudaSuccess;
  });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return call("cudaGraphDestroy", [&] {
    if (runtime().graphs.erase(graph) == 0) return bad_handle("cudaGraphDestroy");
    delete graph;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  return call("cudaGraphExecDestroy", [&] {
    if (runtime().execs.erase(exec) == 0) return bad_handle("cudaGraphExecDestroy");
    delete exec;
    return cudaSuccess;
  });
}

}  // extern "C"
