#pragma once
#include <cstdint>
#include <filesystem>
#include <string>

namespace kvgauge::testing {

/// A head's file for a model of two KV heads of 32 and six layers (the embedded one and copies of it) that says
/// `constant` of every window of 16 positions; with a seed, random weights that make d go up and down around it.
/// @return the path
std::string write_head(const std::filesystem::path& path, float constant, std::uint64_t seed = 0,
                       const std::filesystem::path& model = {});

/// A copy of the embedded model whose template and tokenizer know no think tags. @return the folder
std::string copy_without_think_tags(const std::filesystem::path& folder);

}  // namespace kvgauge::testing
