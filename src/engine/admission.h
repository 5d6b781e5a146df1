#pragma once
#include <cstdint>
#include <string>

#include "kvgauge/request.h"
#include "loader/model_config.h"

namespace kvgauge {

/// Why a request can never run, in words for its row; empty if it can.
/// @param has_head whether the engine has a difficulty head
std::string reason_to_refuse(const Request& request, const ModelConfig& config, std::int64_t max_model_len,
                             bool has_head);

}  // namespace kvgauge
