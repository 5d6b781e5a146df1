#include "cuda/stream.h"

#include <cuda_runtime_api.h>

#include "cuda/check.h"

namespace kvgauge::cuda {

Stream::Stream() { check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate"); }
Stream::~Stream() { cudaStreamDestroy(stream_); }

void Stream::copy_to_device(void* device, const void* pinned, std::size_t bytes) const {
  if (bytes > 0)
    check_cuda(cudaMemcpyAsync(device, pinned, bytes, cudaMemcpyHostToDevice, stream_), "copy to the device");
}
void Stream::copy_to_host(void* pinned, const void* device, std::size_t bytes) const {
  if (bytes > 0)
    check_cuda(cudaMemcpyAsync(pinned, device, bytes, cudaMemcpyDeviceToHost, stream_), "copy to the host");
}
void Stream::copy_on_device(void* to, const void* from, std::size_t bytes) const {
  if (bytes > 0) check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_), "copy on the device");
}
void Stream::fill_zero(void* device, std::size_t bytes) const {
  if (bytes > 0) check_cuda(cudaMemsetAsync(device, 0, bytes, stream_), "cudaMemsetAsync");
}

Event::Event() {
  check_cuda(cudaEventCreateWithFlags(&event_, cudaEventBlockingSync | cudaEventDisableTiming), "cudaEventCreate");
}
Event::~Event() { cudaEventDestroy(event_); }
void Event::record(StreamHandle stream) const { check_cuda(cudaEventRecord(event_, stream), "cudaEventRecord"); }
void Event::hold(StreamHandle stream) const {
  check_cuda(cudaStreamWaitEvent(stream, event_, 0), "cudaStreamWaitEvent");
}
void Event::wait() const { check_cuda(cudaEventSynchronize(event_), "waiting for the device"); }

}  // namespace kvgauge::cuda
