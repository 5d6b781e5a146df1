#pragma once
// The dumps of tests/golden/past_key_values and what the script that made them computed from the same numbers in double
// precision.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "core/json.h"
#include "support/paths.h"

namespace kvgauge::testing {

inline std::filesystem::path past_key_values(const std::string& file) {
  return repo_path("tests/golden/past_key_values/" + file);
}
inline Json past_key_values_scores() {
  return parse_json(read_file(past_key_values("scores.json")), "past_key_values/scores.json");
}

/// Every number of a case: within 1e-5 of its size (differences: of what they are a difference of), or undefined on
/// both sides.
/// @param got by name; NaN where undefined
template <class Get>
void expect_scores(const Json& want, const Get& got, const std::string& where) {
  const auto number = [&](const char* key) { return want.contains(key) ? want[key].get<double>() : std::nan(""); };
  for (const auto& [key, scale] :
       std::vector<std::pair<const char*, const char*>>{{"paper_r", "paper_r"},
                                                        {"paper_c", "paper_c"},
                                                        {"normalized_r", "normalized_cart_c"},
                                                        {"normalized_c", "normalized_cart_c"},
                                                        {"normalized_cart_c", "normalized_cart_c"},
                                                        {"diff_r", "paper_c"},
                                                        {"polar_raw_c", "mean_dr"},
                                                        {"mean_dr", "mean_dr"},
                                                        {"mean_dtheta", "mean_dtheta"},
                                                        {"end_dr", "end_dr"},
                                                        {"end_dtheta", "end_dtheta"}}) {
    const double expected = number(key), found = got(key);
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(found)) << where << ": " << key << " is " << found;
    } else {
      EXPECT_NEAR(found, expected, 1e-5 * number(scale)) << where << ": " << key;
    }
  }
}

}  // namespace kvgauge::testing
