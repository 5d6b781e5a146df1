#pragma once
#include <map>
#include <string>

#include "model/step_costs.h"
#include "ops/backend.h"

namespace kvgauge::cli {

/// Median seconds of one launch of every operation of decode_step_costs(), by name, on a back end: shapes of the model,
/// one layer's memory, contents zero. Matrices, in the back end's computing dtype, are multiplied in turn with copies of
/// themselves until they are larger than any cache.
std::map<std::string, double> time_operations(Backend& backend, const ModelConfig& config, const StepShape& shape);

}  // namespace kvgauge::cli
