#include "option_values.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <set>
#include <utility>

#include "core/cat.h"
#include "core/printable.h"
#include "kvgauge/error.h"

namespace kvgauge::cli {
namespace {

UsageError wrong_value(std::string_view flag, const std::string& text, const std::string& needed) {
  return UsageError(cat(flag, ": found '", printable(text), "', ", needed, " was needed"));
}

// Callbacks get all values that were given; the option takes one.
const std::string& only_value(const std::string& flag, const CLI::results_t& values) {
  if (values.size() != 1) throw UsageError(cat(flag, ": given ", values.size(), " times, once was needed"));
  return values.front();
}

template <class Read>
CLI::Option* add_checked(CLI::App& app, const std::string& flag, const std::string& type, const std::string& help,
                         Read read) {
  const auto callback = [flag, read](const CLI::results_t& values) {
    read(only_value(flag, values));
    return true;
  };
  return app.add_option(flag, callback, help)
      ->type_name(type)
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false);
}

}  // namespace

std::int64_t parse_count(std::string_view flag, const std::string& text, std::int64_t least, std::int64_t most) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most)
    throw wrong_value(flag, text,
                      most >= kMany ? cat("a whole number of at least ", least)
                                         : cat("a whole number from ", least, " to ", most));
  return value;
}

double parse_real(std::string_view flag, const std::string& text, double least, double most) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value >= least && value <= most))
    throw wrong_value(flag, text, cat("a number from ", least, " to ", most));
  return value;
}

std::uint64_t parse_bytes(std::string_view flag, const std::string& text) {
  const std::string needed = "a size such as 4GiB, 512MiB or a number of bytes";
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) throw wrong_value(flag, text, needed);
  const std::string unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  int shift = -1;
  for (const auto& [spelling, bits] : {std::pair{"", 0},
                                       {"B", 0},
                                       {"K", 10},
                                       {"KiB", 10},
                                       {"M", 20},
                                       {"MiB", 20},
                                       {"G", 30},
                                       {"GiB", 30},
                                       {"T", 40},
                                       {"TiB", 40}})
    if (unit == spelling) shift = bits;
  const double bytes = std::ldexp(value, shift);
  if (shift < 0 || !(bytes >= 1 && bytes < std::ldexp(1.0, 62))) throw wrong_value(flag, text, needed);
  return static_cast<std::uint64_t>(bytes);
}

std::string parse_choice(std::string_view flag, const std::string& text, const std::vector<std::string>& choices) {
  if (std::find(choices.begin(), choices.end(), text) == choices.end())
    throw wrong_value(flag, text, "one of " + join(choices, ", "));
  return text;
}

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    parts.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

std::vector<std::int32_t> parse_layers(std::string_view flag, const std::string& text, std::int64_t layers) {
  constexpr std::int64_t kMostLayers = 65536;
  const std::int64_t most = layers > 0 ? layers : kMostLayers;
  if (text == "all") return {};
  std::set<std::int64_t> chosen;
  const auto number = [&](const std::string& part, std::int64_t least, std::int64_t largest) {
    std::int64_t value = -1;
    const auto [end, failure] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (failure != std::errc() || end != part.data() + part.size() || value < least || value > largest)
      throw UsageError(cat(flag, ": found '", printable(text), "', all, lastN or a list such as 0,3,8-11 was needed",
                           layers > 0 ? cat(" of the model's layers 0 to ", layers - 1) : std::string()));
    return value;
  };
  if (text.starts_with("last")) {
    const std::int64_t count = number(text.substr(4), 1, most);
    for (std::int64_t layer = most - count; layer < most; ++layer) chosen.insert(layer);
  } else {
    for (const std::string& part : split_list(text)) {
      const std::size_t dash = part.find('-');
      const std::int64_t first = number(part.substr(0, dash), 0, most - 1);
      const std::int64_t last = dash == std::string::npos ? first : number(part.substr(dash + 1), first, most - 1);
      for (std::int64_t layer = first; layer <= last; ++layer) chosen.insert(layer);
    }
  }
  if (layers == 0 || std::ssize(chosen) == layers) return {};
  return {chosen.begin(), chosen.end()};
}

CLI::Option* add_count(CLI::App& app, const std::string& flag, std::int64_t& to, std::int64_t least, std::int64_t most,
                       const std::string& help) {
  return add_checked(app, flag, "N", help,
                     [&to, flag, least, most](const std::string& text) { to = parse_count(flag, text, least, most); });
}

CLI::Option* add_real(CLI::App& app, const std::string& flag, double& to, double least, double most,
                      const std::string& help) {
  return add_checked(app, flag, "X", help,
                     [&to, flag, least, most](const std::string& text) { to = parse_real(flag, text, least, most); });
}

CLI::Option* add_bytes(CLI::App& app, const std::string& flag, std::uint64_t& to, const std::string& help) {
  return add_checked(app, flag, "SIZE", help, [&to, flag](const std::string& text) { to = parse_bytes(flag, text); });
}

CLI::Option* add_text(CLI::App& app, const std::string& flag, std::string& to, const std::string& type,
                      const std::string& help) {
  return add_checked(app, flag, type, help, [&to](const std::string& text) { to = text; });
}

CLI::Option* add_choice(CLI::App& app, const std::string& flag, std::string& to, std::vector<std::string> choices,
                        const std::string& help) {
  const std::string type = join(choices, "|");
  return add_checked(app, flag, type, help, [&to, flag, choices = std::move(choices)](const std::string& text) {
    to = parse_choice(flag, text, choices);
  });
}

std::string closest(std::string_view word, const std::vector<std::string>& candidates) {
  std::string best;
  std::size_t best_distance = (word.size() < 3 ? 1 : std::max<std::size_t>(2, word.size() / 3)) + 1;
  for (const std::string& candidate : candidates) {
    std::vector<std::size_t> row(candidate.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= word.size(); ++i) {
      std::size_t diagonal = std::exchange(row[0], i);
      for (std::size_t j = 1; j <= candidate.size(); ++j) {
        const std::size_t change = diagonal + (word[i - 1] == candidate[j - 1] ? 0 : 1);
        diagonal = std::exchange(row[j], std::min({change, row[j] + 1, row[j - 1] + 1}));
      }
    }
    if (row.back() < best_distance) {
      best_distance = row.back();
      best = candidate;
    }
  }
  return best;
}

}  // namespace kvgauge::cli
