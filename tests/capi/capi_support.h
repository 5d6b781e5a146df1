#pragma once
// What the tests of the C API share: handles that end by themselves, contexts on every device of this build.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "kvgauge/kvgauge.h"

namespace kvgauge::testing {

struct HandleEnd {
  void operator()(kvgauge_context* handle) const { kvgauge_context_destroy(handle); }
  void operator()(kvgauge_cache* handle) const { kvgauge_cache_destroy(handle); }
  void operator()(kvgauge_trajectory* handle) const { kvgauge_trajectory_destroy(handle); }
  void operator()(kvgauge_head* handle) const { kvgauge_head_destroy(handle); }
};
template <class T>
using Handle = std::unique_ptr<T, HandleEnd>;

#define EXPECT_OK(call) EXPECT_EQ(call, KVGAUGE_OK) << kvgauge_last_error()
#define ASSERT_OK(call) ASSERT_EQ(call, KVGAUGE_OK) << kvgauge_last_error()

inline Handle<kvgauge_context> open_context(const char* device = "cpu", int threads = 1) {
  const kvgauge_context_options options = {device, threads, std::uint64_t{8} << 20};
  kvgauge_context* context = nullptr;
  EXPECT_OK(kvgauge_context_create(&options, &context));
  return Handle<kvgauge_context>(context);
}

inline Handle<kvgauge_trajectory> open_trajectory(kvgauge_context* context, const kvgauge_trajectory_spec* spec,
                                                  int heads, int head_dim, std::int64_t capacity) {
  kvgauge_trajectory* trajectory = nullptr;
  EXPECT_OK(kvgauge_trajectory_create(context, spec, heads, head_dim, capacity, &trajectory));
  return Handle<kvgauge_trajectory>(trajectory);
}

/// Devices whose memory the host can write in tests.
inline std::vector<const char*> devices() {
#if defined(KVGAUGE_EMULATED)
  return {"cpu", "emulated"};
#else
  return {"cpu"};
#endif
}

}  // namespace kvgauge::testing
