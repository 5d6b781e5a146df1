#pragma once
#include <memory>
#include <string>

#include "kvgauge/engine.h"
#include "loader/model_config.h"
#include "ops/backend.h"

namespace kvgauge {

/// Values of --device that this build knows, e.g. "auto|cpu|cuda|cuda:N".
std::string known_devices();

/// The same for --version, and whether a CUDA device can be used here.
std::string device_features();

/// @throws UsageError if `device` is no value of --device, or names a back end that this build lacks
void check_device(const std::string& device);

/// The back end that --device, --dtype, --threads and --batch-invariant name.
/// @throws UsageError for values it does not know, DeviceError for a device that is not there
std::unique_ptr<Backend> open_backend(const EngineOptions& options, const ModelConfig& config);

}  // namespace kvgauge
