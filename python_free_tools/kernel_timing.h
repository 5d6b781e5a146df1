#pragma once
#include <map>
#include <span>
#include <string>

#include "model/step_costs.h"
#include "ops/backend.h"

namespace kvgauge::cli {

/// Median seconds of one launch of every operation of decode_step_costs(), by name, on a back end: shapes of the model,
/// one layer's memory, contents zero. Every matrix of `matrices` is packed as the back end packs its stored types, its
/// `bytes` are set to what that takes, and it is multiplied in turn with copies of itself that together are larger than
/// any cache.
std::map<std::string, double> time_operations(Backend& backend, const ModelConfig& config,
                                              std::span<StepMatrix> matrices, const StepShape& shape);

}  // namespace kvgauge::cli
