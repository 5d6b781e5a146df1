// Training of the head of kv_pool.
#include <algorithm>

#include "core/check.h"
#include "cuda/backend.h"
#include "cuda/mlp.h"

namespace kvgauge::cuda {

const std::int32_t* CudaBackend::device_rows(std::span<const std::int32_t> rows) {
  constexpr std::size_t kRun = std::size_t{1} << 16;
  std::byte* const device = scratch(mlp_rows_, std::max<std::size_t>(rows.size_bytes(), 1), "rows of a batch");
  for (std::size_t first = 0; first < rows.size(); first += kRun) {
    const std::span<const std::int32_t> run = rows.subspan(first, std::min(kRun, rows.size() - first));
    staging_.upload_to(device + first * sizeof(std::int32_t), run.data(), run.size_bytes());
  }
  return reinterpret_cast<const std::int32_t*>(device);
}

void CudaBackend::mlp_forward(const MlpForwardArgs& args) {
  check_mlp(args);
  if (args.rows.empty()) return;
  launch_mlp_forward(args, device_rows(args.rows), stream_.get());
}

void CudaBackend::mlp_backward(const MlpBackwardArgs& args) {
  check_mlp(args.forward);
  auto* const total = reinterpret_cast<double*>(scratch(mlp_total_, sizeof(double), "loss of a batch"));
  launch_mlp_backward(args, device_rows(args.forward.rows), total, stream_.get());
  staging_.fetch(args.total, total, sizeof(double));
}

void CudaBackend::mlp_step(const MlpStepArgs& args) {
  check_mlp(args);
  launch_mlp_step(args, stream_.get());
}

void CudaBackend::mlp_statistics(const MlpStatisticsArgs& args) {
  check_mlp_rows(args.features, args.rows);
  KVGAUGE_CHECK(!args.rows.empty(), "statistics of no rows");
  launch_mlp_statistics(args, device_rows(args.rows), stream_.get());
}

}  // namespace kvgauge::cuda
