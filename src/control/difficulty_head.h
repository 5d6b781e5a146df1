#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kvgauge/difficulty.h"
#include "loader/model_config.h"

namespace kvgauge {

/// The difficulty regressor (METHOD.md F.1) and what it was made for:
///   d = w2 . relu(w1 x + b1) + b2,  x = (f - mean) / deviation, or f where both are empty; f: see WindowSpec.
/// All f32, row-major.
struct DifficultyHead {
  WindowSpec window;  ///< its layers are spelled out
  std::int64_t hidden = 512;
  std::vector<float> w1, b1, w2, b2;   ///< [hidden, features], [hidden], [hidden], [1]
  std::vector<float> mean, deviation;  ///< [features] or empty; no deviation is 0

  std::int64_t model_layers = 0, kv_heads = 0, head_dim = 0;  ///< of the model it was trained on
  std::string model_hash;                                     ///< ModelFiles::content_hash() of that model
  std::string template_set;  ///< how its questions became prompts: "native", "paper", with the hash of what they render
  std::string training_data;  ///< SHA-256 of the labels
  std::string recipe;         ///< the trainer's settings and what it reached, JSON; for people
  std::string id;             ///< of the file it was read from: the first 12 digits of its SHA-256

  std::int64_t features() const { return window_features(window, kv_heads, head_dim); }
};

/// Reads a head from a safetensors file: tensors `hidden.weight`, `hidden.bias`, `output.weight`, `output.bias`,
/// `feature.mean`, `feature.deviation` (the last two may be missing together), F32, and the rest as metadata.
/// @throws InputError (cannot be read), FormatError: what is missing, misshapen or not finite, by name
DifficultyHead read_difficulty_head(const std::filesystem::path& path);
/// The same of a file's bytes; `where` names it in messages.
DifficultyHead parse_difficulty_head(std::span<const std::byte> file, std::string_view where);
/// Writes one; appears whole or not at all. @throws OutputError
void write_difficulty_head(const std::filesystem::path& path, const DifficultyHead& head);
/// Writes down which model a head is for. @param model_hash ModelFiles::content_hash()
void pin_to_model(DifficultyHead& head, const ModelConfig& config, std::string model_hash);
/// Why a head cannot be used with a model: the first thing that differs, by name; empty if nothing does.
std::string reason_to_refuse(const DifficultyHead& head, const ModelConfig& config, const std::string& model_hash);

}  // namespace kvgauge
