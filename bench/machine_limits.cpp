// What this machine can do at most, to hold other measurements against: bytes read in a stream, by the size of what is
// read and the number of threads, and arithmetic on registers alone.
//   machine_limits_bench [--threads N] [--repeats 7] [--mebibytes 1024]
// Each figure is the median of the repeats, with the best of them in brackets: neighbours on a shared machine only ever
// take away. The sum of what was read is checked. Rates of instructions that the processor lacks are left out; AMX
// tiles are not measured.
#include <fmt/format.h>
#include <immintrin.h>
#include <omp.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "core/processor.h"
#include "flags.h"
#include "kvgauge/error.h"
#include "measure.h"

namespace {

using namespace kvgauge;
using bench::median;
using bench::seconds;

struct Settings {
  int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  int repeats = 7;
  std::int64_t mebibytes = 1024;  // the largest size that is read
};

// Sums of words: 8 or 16 independent chains, so that additions hide behind the loads. Counts are multiples of 128.
using Sum = std::uint64_t (*)(const std::uint64_t*, std::int64_t);

std::uint64_t sum_baseline(const std::uint64_t* x, std::int64_t count) {
  __m128i sums[8] = {};
  for (std::int64_t i = 0; i < count; i += 16)
    for (int c = 0; c < 8; ++c)
      sums[c] = _mm_add_epi64(sums[c], _mm_load_si128(reinterpret_cast<const __m128i*>(x + i + 2 * c)));
  std::uint64_t words[16], sum = 0;
  for (int c = 0; c < 8; ++c) _mm_storeu_si128(reinterpret_cast<__m128i*>(words + 2 * c), sums[c]);
  for (const std::uint64_t word : words) sum += word;
  return sum;
}

__attribute__((target("avx2"))) std::uint64_t sum_avx2(const std::uint64_t* x, std::int64_t count) {
  __m256i sums[8] = {};
  for (std::int64_t i = 0; i < count; i += 32)
    for (int c = 0; c < 8; ++c)
      sums[c] = _mm256_add_epi64(sums[c], _mm256_load_si256(reinterpret_cast<const __m256i*>(x + i + 4 * c)));
  std::uint64_t words[32], sum = 0;
  for (int c = 0; c < 8; ++c) _mm256_storeu_si256(reinterpret_cast<__m256i*>(words + 4 * c), sums[c]);
  for (const std::uint64_t word : words) sum += word;
  return sum;
}

__attribute__((target("avx512f"))) std::uint64_t sum_avx512(const std::uint64_t* x, std::int64_t count) {
  __m512i sums[8] = {};
  for (std::int64_t i = 0; i < count; i += 64)
    for (int c = 0; c < 8; ++c) sums[c] = _mm512_add_epi64(sums[c], _mm512_load_si512(x + i + 8 * c));
  std::uint64_t words[64], sum = 0;
  for (int c = 0; c < 8; ++c) _mm512_storeu_si512(words + 8 * c, sums[c]);
  for (const std::uint64_t word : words) sum += word;
  return sum;
}

// Loops on registers. Sixteen chains: more than the latency of any of these instructions times its rate. A result that
// depends on all of them is returned, and they start apart, so that no chain is left out or found equal to another.
using Loop = float (*)(std::int64_t);

__attribute__((target("avx2,fma"))) float fma_avx2(std::int64_t times) {
  const __m256 a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(0.001f);
  __m256 sums[12];
  for (int c = 0; c < 12; ++c) sums[c] = _mm256_set1_ps(0.01f * static_cast<float>(c));
  for (std::int64_t i = 0; i < times; ++i) {
#pragma GCC unroll 16
    for (int c = 0; c < 12; ++c) sums[c] = _mm256_fmadd_ps(sums[c], a, b);
  }
  for (int c = 1; c < 12; ++c) sums[0] = _mm256_add_ps(sums[0], sums[c]);
  return _mm256_cvtss_f32(sums[0]);
}

__attribute__((target("avx512f"))) float fma_avx512(std::int64_t times) {
  const __m512 a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(0.001f);
  __m512 sums[16];
  for (int c = 0; c < 16; ++c) sums[c] = _mm512_set1_ps(0.01f * static_cast<float>(c));
  for (std::int64_t i = 0; i < times; ++i) {
#pragma GCC unroll 16
    for (int c = 0; c < 16; ++c) sums[c] = _mm512_fmadd_ps(sums[c], a, b);
  }
  for (int c = 1; c < 16; ++c) sums[0] = _mm512_add_ps(sums[0], sums[c]);
  return _mm512_cvtss_f32(sums[0]);
}

__attribute__((target("avx512f,avx512bf16"))) float bf16_avx512(std::int64_t times) {
  const auto a = (__m512bh)_mm512_set1_epi32(0x3c003c00);  // 2^-7, twice
  __m512 sums[16];
  for (int c = 0; c < 16; ++c) sums[c] = _mm512_set1_ps(0.01f * static_cast<float>(c));
  for (std::int64_t i = 0; i < times; ++i) {
#pragma GCC unroll 16
    for (int c = 0; c < 16; ++c) sums[c] = _mm512_dpbf16_ps(sums[c], a, a);
  }
  for (int c = 1; c < 16; ++c) sums[0] = _mm512_add_ps(sums[0], sums[c]);
  return _mm512_cvtss_f32(sums[0]);
}

__attribute__((target("avx512f,avx512vnni"))) float int8_avx512(std::int64_t times) {
  const __m512i a = _mm512_set1_epi32(0x01010101);
  __m512i sums[16];
  for (int c = 0; c < 16; ++c) sums[c] = _mm512_set1_epi32(c);
  for (std::int64_t i = 0; i < times; ++i) {
#pragma GCC unroll 16
    for (int c = 0; c < 16; ++c) sums[c] = _mm512_dpbusd_epi32(sums[c], a, a);
  }
  for (int c = 1; c < 16; ++c) sums[0] = _mm512_add_epi32(sums[0], sums[c]);
  std::int32_t words[16];
  _mm512_storeu_si512(words, sums[0]);
  return static_cast<float>(words[0]);
}

struct Arithmetic {
  const char* name;
  bool supported;
  Loop loop;
  double operations;  // of one turn of the loop: multiplications and additions
};

std::vector<Arithmetic> arithmetics() {
  const bool avx512 = __builtin_cpu_supports("avx512f");
  return {{"f32, AVX2 FMA", __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"), fma_avx2, 12.0 * 2 * 8},
          {"f32, AVX-512 FMA", avx512, fma_avx512, 16.0 * 2 * 16},
          {"bf16, AVX-512 vdpbf16ps", avx512 && __builtin_cpu_supports("avx512bf16"), bf16_avx512, 16.0 * 2 * 32},
          {"int8, AVX-512 vpdpbusd", avx512 && __builtin_cpu_supports("avx512vnni"), int8_avx512, 16.0 * 2 * 64}};
}

/// Median and best of work / time, in 1e9 a second. run(thread) is called on each of the threads at once.
template <class Run>
std::string rate(int threads, int repeats, double work, const Run& run) {
  std::vector<double> rates;
  for (int repeat = -1; repeat < repeats; ++repeat) {  // the first is warm-up
    double begin = 0, end = 0;
#pragma omp parallel num_threads(threads)
    {
#pragma omp barrier
#pragma omp master
      begin = seconds();
      run(omp_get_thread_num());
#pragma omp barrier
#pragma omp master
      end = seconds();
    }
    if (repeat >= 0) rates.push_back(work / (end - begin) / 1e9);
  }
  const double best = *std::max_element(rates.begin(), rates.end());
  return best < 100 ? fmt::format("{:.1f} ({:.1f})", median(rates), best)
                    : fmt::format("{:.0f} ({:.0f})", median(rates), best);
}

/// Zeroed pages of the system, in large pages where it has them.
class Pages {
 public:
  explicit Pages(std::int64_t bytes) : bytes_(static_cast<std::size_t>(bytes)) {
    data_ = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data_ == MAP_FAILED)
      throw DeviceError(fmt::format("--mebibytes: {} bytes were asked for, more memory was needed", bytes));
    ::madvise(data_, bytes_, MADV_HUGEPAGE);
  }
  ~Pages() { ::munmap(data_, bytes_); }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  std::uint64_t* words() const { return static_cast<std::uint64_t*>(data_); }

 private:
  void* data_;
  std::size_t bytes_;
};

std::string read_rate(const std::uint64_t* words, std::int64_t bytes, int threads, int repeats) {
  const Sum sum = __builtin_cpu_supports("avx512f") ? sum_avx512
                  : __builtin_cpu_supports("avx2")  ? sum_avx2
                                                    : sum_baseline;
  const std::int64_t part = bytes / 8 / threads / 128 * 128;                              // of a thread, in words
  const std::int64_t turns = std::max<std::int64_t>(1, (std::int64_t{1} << 30) / bytes);  // read at least 1 GiB
  std::vector<std::uint64_t> wrong(static_cast<std::size_t>(threads) * 8);                // a cache line for each
  std::string result = rate(threads, repeats, static_cast<double>(part * 8 * threads * turns), [&](int thread) {
    for (std::int64_t turn = 0; turn < turns; ++turn)
      wrong[static_cast<std::size_t>(thread) * 8] |=
          sum(words + thread * part, part) ^ static_cast<std::uint64_t>(part);  // every word is 1
  });
  if (std::any_of(wrong.begin(), wrong.end(), [](std::uint64_t bits) { return bits != 0; }))
    throw DeviceError("machine_limits_bench: a sum is wrong, memory that keeps its contents was needed");
  return result;
}

void print_row(const std::string& head, const std::vector<std::string>& cells) {
  fmt::print("| {} |", head);
  for (const std::string& cell : cells) fmt::print(" {} |", cell);
  fmt::print("\n");
  std::fflush(stdout);
}

void run(const Settings& s) {
  std::vector<int> threads{1};
  while (threads.back() * 2 <= s.threads) threads.push_back(threads.back() * 2);
  if (threads.back() < s.threads) threads.push_back(s.threads);
  std::vector<std::string> heads;
  for (const int t : threads) heads.push_back(fmt::format("{} thread{}", t, t == 1 ? "" : "s"));
  const std::vector<std::string> rule(threads.size() + 1, "---|");

  fmt::print("{}; median (best) of {}\n\n", processor_name(), s.repeats);
  print_row("read, GB/s", heads);
  fmt::print("|{}\n", fmt::join(rule, ""));
  const Pages pages(s.mebibytes << 20);
  std::fill_n(pages.words(), s.mebibytes << 17, std::uint64_t{1});
  for (const std::int64_t size : {1, 8, 24, 64, 256, 1024, 4096}) {
    if (size > s.mebibytes) break;
    std::vector<std::string> cells;
    for (const int t : threads) cells.push_back(read_rate(pages.words(), size << 20, t, s.repeats));
    print_row(fmt::format("{} MiB", size), cells);
  }

  fmt::print("\n");
  print_row("registers only, GFLOP/s or GOP/s", heads);
  fmt::print("|{}\n", fmt::join(rule, ""));
  constexpr std::int64_t kTurns = 4'000'000;
  for (const Arithmetic& a : arithmetics()) {
    if (!a.supported) continue;
    std::vector<std::string> cells;
    std::vector<float> kept(static_cast<std::size_t>(s.threads));
    for (const int t : threads)
      cells.push_back(rate(t, s.repeats, a.operations * static_cast<double>(kTurns) * t,
                           [&](int thread) { kept[static_cast<std::size_t>(thread)] = a.loop(kTurns); }));
    print_row(a.name, cells);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  return bench::run_bench("machine_limits_bench", argc, argv,
                          {bench::count_flag("--threads", s.threads), bench::count_flag("--repeats", s.repeats),
                           bench::count_flag("--mebibytes", s.mebibytes)},
                          [&] { run(s); });
}
