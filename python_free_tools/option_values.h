#pragma once
#include <CLI/App.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kvgauge::cli {

/// The most that counts may be where nothing else limits them: keeps sums from overflowing.
inline constexpr std::int64_t kMany = std::int64_t{1} << 40;

// Values of options. Each throws UsageError naming the flag, what was found and what was needed.
std::int64_t parse_count(std::string_view flag, const std::string& text, std::int64_t least, std::int64_t most);
double parse_real(std::string_view flag, const std::string& text, double least, double most);
/// "4GiB", "512MiB", "64KiB", "1000000": binary units, also spelled G, M, K; at least 1.
std::uint64_t parse_bytes(std::string_view flag, const std::string& text);
std::string parse_choice(std::string_view flag, const std::string& text, const std::vector<std::string>& choices);
std::vector<std::string> split_list(std::string_view text);
/// "all", "lastN" or a list of numbers and ranges such as "0,3,8-11", as ascending layers of a model that has `layers`
/// of them; empty for all of them. With `layers` 0 only the form is checked, and the result is empty.
std::vector<std::int32_t> parse_layers(std::string_view flag, const std::string& text, std::int64_t layers);

// Options that check their value as they are read. `to` must outlive the parse.
CLI::Option* add_count(CLI::App& app, const std::string& flag, std::int64_t& to, std::int64_t least, std::int64_t most,
                       const std::string& help);
CLI::Option* add_real(CLI::App& app, const std::string& flag, double& to, double least, double most,
                      const std::string& help);
CLI::Option* add_bytes(CLI::App& app, const std::string& flag, std::uint64_t& to, const std::string& help);
CLI::Option* add_text(CLI::App& app, const std::string& flag, std::string& to, const std::string& type,
                      const std::string& help);
CLI::Option* add_choice(CLI::App& app, const std::string& flag, std::string& to, std::vector<std::string> choices,
                        const std::string& help);

/// The candidate that is closest to `word` by edit distance, if it is close enough to be meant; else empty.
std::string closest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace kvgauge::cli
