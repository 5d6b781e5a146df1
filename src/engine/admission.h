#pragma once
#include <cstdint>
#include <string>

#include "kvgauge/request.h"
#include "loader/model_config.h"

namespace kvgauge {

/// Why a request can never run, in words for its row; empty if it can.
std::string reason_to_refuse(const Request& request, const ModelConfig& config, std::int64_t max_model_len);

}  // namespace kvgauge
