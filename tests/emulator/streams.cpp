// Streams and events: who waits for whom, and when queued work is done.
#include <chrono>
#include <utility>

#include "core/cat.h"
#include "memory.h"
#include "runtime.h"

namespace kvgauge::cuda::emulator {
namespace {

bool is_default(cudaStream_t stream) {
  return stream == &runtime().devices[static_cast<std::size_t>(stream->device)]->default_stream;
}

/// Everything of the device, and of the streams that its work waits for, is given up.
void drop_work(int device) {
  const auto drop = [](CUstream_st& stream) {
    stream.items.clear();
    stream.done = stream.queued;
    stream.next_after.clear();
  };
  drop(runtime().devices[static_cast<std::size_t>(device)]->default_stream);
  for (const cudaStream_t stream : runtime().streams)
    if (stream->device == device) drop(*stream);
}

/// The default stream waits for all blocking streams, and they for it.
void order_with_default(cudaStream_t stream) {
  if (!stream->blocking) return;
  if (!is_default(stream)) {
    CUstream_st& other = runtime().devices[static_cast<std::size_t>(stream->device)]->default_stream;
    order_after(stream, {&other, other.queued});
    return;
  }
  for (const cudaStream_t other : runtime().streams)
    if (other->device == stream->device && other->blocking) order_after(stream, {other, other->queued});
}

cudaError_t run_first(CUstream_st& stream) {
  const std::vector<Position> after = stream.items.front().after;
  for (const Position& position : after) {
    const cudaError_t error = run_until(position);
    if (error != cudaSuccess) return error;
  }
  const QueuedWork item = std::move(stream.items.front());
  stream.items.pop_front();
  ++stream.done;
  try {
    item.work.run();
  } catch (const FaultError& fault) {
    drop_work(stream.device);
    return break_device(stream.device, fault);
  } catch (const std::exception& error) {
    drop_work(stream.device);
    return break_device(stream.device, FaultError(FaultKind::kExecutor, cat(item.work.what, ": ", error.what())));
  }
  return cudaSuccess;
}

std::int64_t now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

cudaError_t create_stream(cudaStream_t* stream, unsigned flags) {
  if (stream == nullptr || (flags & ~cudaStreamNonBlocking) != 0) return cudaErrorInvalidValue;
  auto created = std::make_unique<CUstream_st>();
  created->device = current_device();
  created->blocking = (flags & cudaStreamNonBlocking) == 0;
  runtime().streams.insert(*stream = created.release());
  return cudaSuccess;
}

cudaError_t bad_stream(const char* function) {
  return refuse(cudaErrorInvalidResourceHandle, cat(function, ": the stream is not a live one"));
}
cudaError_t bad_event(const char* function) {
  return refuse(cudaErrorInvalidResourceHandle, cat(function, ": the event is not a live one"));
}

/// An event recorded in a capture cannot be waited for by the host.
cudaError_t refuse_captured(const CUevent_st& event) {
  const auto capture = event.capture.lock();
  if (capture == nullptr) return cudaSuccess;
  capture->invalid = true;
  return cudaErrorCapturedEvent;
}

void record_in_capture(cudaEvent_t event, cudaStream_t stream) {
  Capture& capture = *stream->capture;
  event->capture = stream->capture;
  event->seen = capture.seen_by[stream];
  event->seen[stream] = capture.nodes_of[stream];
}

/// A stream that waits for a captured event takes part in its capture.
cudaError_t wait_in_capture(cudaStream_t stream, const CUevent_st& event, const std::shared_ptr<Capture>& capture) {
  if (stream->capture != nullptr && stream->capture != capture) {
    stream->capture->invalid = capture->invalid = true;
    return cudaErrorStreamCaptureMerge;
  }
  stream->capture = capture;
  capture->nodes_of.try_emplace(stream, 0);
  auto& seen = capture->seen_by[stream];
  for (const auto& [other, nodes] : event.seen) seen[other] = std::max(seen[other], nodes);
  return cudaSuccess;
}

}  // namespace

cudaStream_t resolve(cudaStream_t stream) {
  Runtime& state = runtime();
  if (stream == nullptr) return &state.devices[static_cast<std::size_t>(current_device())]->default_stream;
  return state.streams.contains(stream) ? stream : nullptr;
}

void order_after(cudaStream_t stream, const Position& position) {
  if (position.stream != stream && position.stream->done < position.number) stream->next_after.push_back(position);
}

cudaError_t submit(cudaStream_t stream, Work work) {
  if (stream->capture != nullptr) {
    Capture& capture = *stream->capture;
    if (capture.invalid) return cudaErrorStreamCaptureInvalidated;
    ++capture.nodes_of[stream];
    capture.nodes.push_back(std::move(work));
    return cudaSuccess;
  }
  if (is_default(stream)) {
    for (const auto& capture : runtime().captures) {
      if (!capture->origin->blocking || capture->origin->device != stream->device) continue;
      capture->invalid = true;
      return refuse(cudaErrorStreamCaptureImplicit,
                    cat(work.what, ": the default stream waits for a stream that is being captured"));
    }
  }
  order_with_default(stream);
  stream->items.push_back({std::move(work), std::exchange(stream->next_after, {})});
  ++stream->queued;
  return cudaSuccess;
}

cudaError_t run_until(const Position& position) {
  CUstream_st& stream = *position.stream;
  while (stream.done < position.number) {
    const cudaError_t error = run_first(stream);
    if (error != cudaSuccess) return error;
  }
  return runtime().devices[static_cast<std::size_t>(stream.device)]->broken;
}

cudaError_t run_all(int device) {
  Device& state = *runtime().devices[static_cast<std::size_t>(device)];
  for (const cudaStream_t stream : runtime().streams) {
    if (stream->device != device) continue;
    const cudaError_t error = run_until({stream, stream->queued});
    if (error != cudaSuccess) return error;
  }
  return run_until({&state.default_stream, state.default_stream.queued});
}

cudaError_t run_some(cudaStream_t stream) {
  return stream->items.empty() ? cudaSuccess : run_until({stream, stream->done + 1});
}

cudaError_t refuse_in_capture(cudaStream_t stream, const char* function) {
  const auto invalidate = [&](Capture& capture) {
    capture.invalid = true;
    return refuse(cudaErrorStreamCaptureUnsupported, cat(function, ": not allowed while a stream is captured"));
  };
  if (stream != nullptr) return stream->capture == nullptr ? cudaSuccess : invalidate(*stream->capture);
  for (const auto& capture : runtime().captures)
    if (capture->mode != cudaStreamCaptureModeRelaxed) return invalidate(*capture);
  return cudaSuccess;
}

cudaError_t enqueue(cudaStream_t handle, const char* function, std::function<void()> work) {
  return call(function, [&] {
    const cudaStream_t stream = resolve(handle);
    return stream == nullptr ? bad_stream(function) : submit(stream, {function, std::move(work)});
  });
}

}  // namespace kvgauge::cuda::emulator

using namespace kvgauge::cuda::emulator;
using kvgauge::cat;

extern "C" {

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return call("cudaStreamCreate", [&] { return create_stream(stream, cudaStreamDefault); });
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return call("cudaStreamCreateWithFlags", [&] { return create_stream(stream, flags); });
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return call("cudaStreamCreateWithPriority", [&] { return create_stream(stream, flags); });
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return call("cudaStreamDestroy", [&] {
    if (!runtime().streams.contains(stream)) return bad_stream("cudaStreamDestroy");
    const cudaError_t error = run_until({stream, stream->queued});  // a destroyed stream's work is still done
    for (const cudaStream_t other : runtime().streams)
      for (Position& position : other->next_after)
        if (position.stream == stream) position.number = 0, position.stream = other;
    for (const cudaEvent_t event : runtime().events)
      if (event->position.stream == stream) event->position = {nullptr, 0};
    for (const auto& device : runtime().devices)
      std::erase_if(device->default_stream.next_after, [&](const Position& p) { return p.stream == stream; });
    if (stream->capture != nullptr) {
      stream->capture->invalid = true;
      std::erase(runtime().captures, stream->capture);
    }
    runtime().streams.erase(stream);
    for (const cudaStream_t other : runtime().streams)
      for (QueuedWork& item : other->items)
        std::erase_if(item.after, [&](const Position& p) { return p.stream == stream; });
    for (const auto& device : runtime().devices)
      for (QueuedWork& item : device->default_stream.items)
        std::erase_if(item.after, [&](const Position& p) { return p.stream == stream; });
    delete stream;
    return error;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return call("cudaStreamSynchronize", [&] {
    const cudaStream_t stream = resolve(handle);
    if (stream == nullptr) return bad_stream("cudaStreamSynchronize");
    if (const cudaError_t error = refuse_in_capture(stream, "cudaStreamSynchronize"); error != cudaSuccess)
      return error;
    ++runtime().counters.synchronizations;
    if (is_default(stream)) return run_all(stream->device);
    return run_until({stream, stream->queued});
  });
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  return call("cudaStreamQuery", [&] {
    const cudaStream_t stream = resolve(handle);
    if (stream == nullptr) return bad_stream("cudaStreamQuery");
    if (const cudaError_t error = refuse_in_capture(stream, "cudaStreamQuery"); error != cudaSuccess) return error;
    if (stream->items.empty()) return cudaSuccess;
    const cudaError_t error = run_some(stream);
    return error != cudaSuccess ? error : cudaErrorNotReady;
  });
}

cudaError_t cudaDeviceSynchronize() {
  return call("cudaDeviceSynchronize", [&] {
    if (const cudaError_t error = refuse_in_capture(nullptr, "cudaDeviceSynchronize"); error != cudaSuccess)
      return error;
    ++runtime().counters.synchronizations;
    return run_all(current_device());
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  return call("cudaStreamWaitEvent", [&]() -> cudaError_t {
    const cudaStream_t stream = resolve(handle);
    if (stream == nullptr) return bad_stream("cudaStreamWaitEvent");
    if (!runtime().events.contains(event)) return bad_event("cudaStreamWaitEvent");
    if (const auto capture = event->capture.lock()) return wait_in_capture(stream, *event, capture);
    if (stream->capture != nullptr) {
      stream->capture->invalid = true;
      return refuse(cudaErrorStreamCaptureIsolation,
                    "cudaStreamWaitEvent: a captured stream would wait for work outside its capture");
    }
    if (event->recorded && event->position.stream != nullptr) order_after(stream, event->position);
    return cudaSuccess;
  });
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, void (*function)(void*), void* data) {
  return enqueue(stream, "cudaLaunchHostFunc", [=] { function(data); });
}

cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return call("cudaEventCreateWithFlags", [&] {
    if (event == nullptr || (flags & ~(cudaEventBlockingSync | cudaEventDisableTiming)) != 0)
      return cudaErrorInvalidValue;
    auto created = std::make_unique<CUevent_st>();
    created->device = current_device();
    created->timed = (flags & cudaEventDisableTiming) == 0;
    runtime().events.insert(*event = created.release());
    return cudaSuccess;
  });
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return call("cudaEventDestroy", [&] {
    if (!runtime().events.contains(event)) return bad_event("cudaEventDestroy");
    runtime().events.erase(event);
    delete event;
    return cudaSuccess;
  });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
  return call("cudaEventRecord", [&] {
    const cudaStream_t stream = resolve(handle);
    if (stream == nullptr) return bad_stream("cudaEventRecord");
    if (!runtime().events.contains(event)) return bad_event("cudaEventRecord");
    if (stream->capture != nullptr) {
      if (stream->capture->invalid) return cudaErrorStreamCaptureInvalidated;
      record_in_capture(event, stream);
      return cudaSuccess;
    }
    const auto when = std::make_shared<std::int64_t>(-1);
    const cudaError_t error = submit(stream, {"cudaEventRecord", [when] { *when = now(); }});
    if (error != cudaSuccess) return error;
    event->recorded = true;
    event->capture.reset();
    event->position = {stream, stream->queued};
    event->nanoseconds = when;
    return cudaSuccess;
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return call("cudaEventSynchronize", [&] {
    if (!runtime().events.contains(event)) return bad_event("cudaEventSynchronize");
    if (const cudaError_t error = refuse_captured(*event); error != cudaSuccess) return error;
    ++runtime().counters.synchronizations;
    if (!event->recorded || event->position.stream == nullptr) return cudaSuccess;
    return run_until(event->position);
  });
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return call("cudaEventQuery", [&] {
    if (!runtime().events.contains(event)) return bad_event("cudaEventQuery");
    if (const cudaError_t error = refuse_captured(*event); error != cudaSuccess) return error;
    if (!event->recorded || event->position.stream == nullptr) return cudaSuccess;
    if (event->position.stream->done >= event->position.number) return cudaSuccess;
    const cudaError_t error = run_some(event->position.stream);
    return error != cudaSuccess ? error : cudaErrorNotReady;
  });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  return call("cudaEventElapsedTime", [&] {
    for (const cudaEvent_t event : {begin, end}) {
      if (!runtime().events.contains(event)) return bad_event("cudaEventElapsedTime");
      if (!event->timed || !event->recorded)
        return refuse(cudaErrorInvalidResourceHandle, "cudaEventElapsedTime: an event without a time");
      if (*event->nanoseconds < 0) return cudaErrorNotReady;
    }
    *milliseconds = static_cast<float>(*end->nanoseconds - *begin->nanoseconds) * 1e-6f;
    return cudaSuccess;
  });
}

}  // extern "C"
