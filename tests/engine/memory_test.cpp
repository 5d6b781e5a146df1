// Peak memory and allocations of a run: what the documentation promises, measured from outside.
#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <new>
#include <string>

#include "kvgauge/engine.h"
#include "kvgauge/error.h"
#include "support/paths.h"
#include "support/random_model.h"

// Counts every allocation of this program. Not built with sanitizers, which bring their own allocator and memory.
namespace {
std::atomic<std::int64_t> allocations{0};
}

void* operator new(std::size_t size) {
  ++allocations;
  if (void* const p = std::malloc(size ? size : 1)) return p;
  throw std::bad_alloc();
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }

namespace kvgauge {
namespace {

Request question(std::int64_t prompt, std::int64_t tokens, std::int64_t vocab, std::int64_t salt) {
  Request request;
  for (std::int64_t t = 0; t < prompt; ++t)
    request.prompt.push_back(static_cast<std::int32_t>((t * 31 + salt * 17) % vocab));
  request.stop = {.max_tokens = tokens, .stop = {}, .ignore_eos = true};
  request.scores = {.kv_coe = true, .prob = true};
  return request;
}

std::int64_t status_kib(const char* field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind(field, 0) == 0) return std::atoll(line.c_str() + std::string(field).size() + 1);
  return -1;
}

TEST(Memory, PeakIsWeightsTableAndPagesAndAtMost200MiBMore) {
  const testing::TempDir folder;
  // 12 layers of 12.6 M parameters and a table of 32 M: 368 MB in bf16; the file is as large again and must not stay in
  // memory.
  testing::write_random_model(folder.path() / "m",
                              {.layers = 12,
                               .hidden = 1024,
                               .heads = 16,
                               .kv_heads = 4,
                               .head_dim = 64,
                               .intermediate = 3072,
                               .vocab = 32768,
                               .max_positions = 2048},
                              5);
  int pipes[2];
  ASSERT_EQ(::pipe(pipes), 0);
  const pid_t child = ::fork();  // a fresh high-water mark
  if (child == 0) {
    std::int64_t report[2] = {-1, -1};
    try {
      std::ofstream("/proc/self/clear_refs") << 5;
      EngineOptions options;
      options.model = folder.path() / "m";
      options.threads = 2;
      options.kv_memory = std::uint64_t{64} << 20;
      options.max_batch = 8;
      Engine engine(options);
      for (int i = 0; i < 8; ++i) engine.submit(question(200, 8, 32768, i));
      while (engine.step()) {
      }
      const EngineStats stats = engine.stats();
      report[0] = status_kib("VmHWM:") * 1024;
      report[1] = static_cast<std::int64_t>(stats.weight_bytes + stats.table_bytes + stats.kv_bytes);
    } catch (const Error& error) {
      std::fprintf(stderr, "%s\n", error.what());
    }
    (void)!::write(pipes[1], report, sizeof report);
    ::_exit(0);
  }
  std::int64_t report[2] = {-1, -1};
  ASSERT_EQ(::read(pipes[0], report, sizeof report), static_cast<ssize_t>(sizeof report));
  ::waitpid(child, nullptr, 0);
  ::close(pipes[0]);
  ::close(pipes[1]);
  ASSERT_GT(report[0], 0);
  std::printf("peak %lld MB, weights + table + pages %lld MB\n", static_cast<long long>(report[0] / 1'000'000),
              static_cast<long long>(report[1] / 1'000'000));
  EXPECT_LE(report[0], report[1] + 200'000'000);
}

TEST(Memory, ADecodeStepAllocatesNothing) {
  EngineOptions options;
  options.model = testing::repo_path("models/tiny-reasoner");
  options.threads = 2;
  options.max_batch = 4;
  Engine engine(options);
  for (int i = 0; i < 4; ++i) {
    Request request = question(40, 300, 1000, i);
    request.scores = {.kv_coe = true, .prob = true};
    engine.submit(request);
  }
  for (int i = 0; i < 40; ++i)
    ASSERT_TRUE(engine.step());  // prefill, first decode steps: everything has been used once
  const std::int64_t before = allocations;
  const auto heap_before = ::mallinfo2().uordblks;
  constexpr int kSteps = 100;
  for (int i = 0; i < kSteps; ++i) ASSERT_TRUE(engine.step());
  const std::int64_t grown = allocations - before;
  // The text of an answer grows as it is written (amortised doubling of one string per sequence); nothing else may
  // allocate: not the back end, not the scheduler, not the gauges.
  EXPECT_LE(grown, 4 * 3) << "operator new calls in " << kSteps << " decode steps of 4 sequences";
  EXPECT_LE(::mallinfo2().uordblks, heap_before + 4 * 4096) << "malloc calls past operator new";
}

}  // namespace
}  // namespace kvgauge
