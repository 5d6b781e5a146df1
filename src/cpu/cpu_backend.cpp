#include "cpu/cpu_backend.h"

#include <omp.h>
#include <unistd.h>

#include <algorithm>

#include "core/cat.h"
#include "core/check.h"
#include "core/processor.h"
#include "cpu/backend.h"
#include "kvgauge/error.h"

namespace kvgauge {
namespace cpu {
namespace {

class HostMemory final : public DeviceMemory {
 public:
  explicit HostMemory(std::size_t bytes) : buffer_(bytes) {}
  std::byte* data() override { return buffer_.data(); }
  std::size_t bytes() const override { return buffer_.size(); }

 private:
  Buffer buffer_;
};

}  // namespace

CpuBackend::CpuBackend(const CpuOptions& options, CpuIsa isa, int threads)
    : isa_(isa),
      kernels_(*kernels(isa)),
      threads_(threads),
      compute_dtype_(options.compute_dtype),
      batch_invariant_(options.batch_invariant),
      keep_codes_(options.keep_codes) {
  const bool can = compute_dtype_ == DType::kBF16 && isa == CpuIsa::kAvx512Bf16 && !batch_invariant_;
  if (can && options.onednn.value_or(OneDnnProducts::preferred())) onednn_ = std::make_unique<OneDnnProducts>(threads_);
}

std::string CpuBackend::describe() const {
  const bool coded = std::any_of(matrices_.begin(), matrices_.end(), [](const PackedMatrix& matrix) {
    return std::any_of(matrix.runs.begin(), matrix.runs.end(), [](const PanelRun& run) { return run.format.coded; });
  });
  return cat("cpu, ", threads_, " threads, ", kernels_.name, onednn_ ? ", oneDNN for many rows" : "",
             coded ? ", quantized weights" : "");
}

// The host's memory is others' as well: half of what is free, and no more than a desktop user would expect.
std::uint64_t CpuBackend::default_kv_bytes() const {
  constexpr std::uint64_t kMost = std::uint64_t{4} << 30;
  const auto free =
      static_cast<std::uint64_t>(::sysconf(_SC_AVPHYS_PAGES)) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return std::min(kMost, free / 2);
}

std::unique_ptr<DeviceMemory> CpuBackend::allocate(std::size_t bytes) { return std::make_unique<HostMemory>(bytes); }

int CpuBackend::thread_number() { return omp_get_thread_num(); }

// Reservations are address space: a page of memory is taken when it is first written.
void CpuBackend::warm_up(std::int64_t rows, std::int64_t max_context) {
  KVGAUGE_CHECK(rows > 0 && max_context > 0, "rows ", rows, ", context ", max_context);
  std::int64_t widest = 1;
  for (const PackedMatrix& matrix : matrices_) widest = std::max(widest, matrix.rows);
  if (onednn_) {
    for (const PackedMatrix& matrix : matrices_) {
      if (matrix.runs.size() != 1 || matrix.runs.front().format.coded) continue;
      onednn_->prepare(matrix.rows, matrix.columns, rows);
      if (matrix.rows <= kVocabTile) continue;  // whatever is as large as a head may be asked for in tiles
      onednn_->prepare(kVocabTile, matrix.columns, rows);
      if (matrix.rows % kVocabTile != 0) onednn_->prepare(matrix.rows % kVocabTile, matrix.columns, rows);
    }
  }
  reserve_coded_rows(rows);
  reserve_attention();
  reserve_sampling(widest);
  reserve_trajectory();
  drawn_.reserve(static_cast<std::size_t>(rows));
  judged_.reserve(static_cast<std::size_t>(rows));
  reserve_rotations(max_context);
  parallel(2 * threads_, false, [](std::int64_t, int) {});  // starts the threads
}

std::byte* CpuBackend::reserve(Buffer& buffer, std::size_t bytes) {
  if (buffer.size() < bytes) buffer = Buffer(bytes);
  return buffer.data();
}

}  // namespace cpu

std::unique_ptr<Backend> make_cpu_backend(const CpuOptions& options) {
  KVGAUGE_CHECK(options.compute_dtype != DType::kF16, "the CPU back end computes in f32 or bf16");
  const CpuIsa isa = options.isa.value_or(supported_isas().back());
  if (cpu::kernels(isa) == nullptr)
    throw DeviceError(cat("cpu: this processor lacks ", name(isa), ", it has ", name(supported_isas().back())));
  if (options.compute_dtype == DType::kBF16 && isa < CpuIsa::kAvx2)
    throw DeviceError("cpu: bf16 products need AVX2 and FMA, this processor lacks them; run with --dtype f32");
  int threads = options.threads > 0 ? options.threads : usable_cores();
#if defined(__SANITIZE_THREAD__)
  threads = 1;  // the OpenMP runtime is not instrumented: every loop of it would be reported as a race
#endif
  return std::make_unique<cpu::CpuBackend>(options, isa, threads);
}

}  // namespace kvgauge
