#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "support/decode_harness.h"
#include "support/golden_tensors.h"

namespace kvgauge::testing {

/// transformers' [layers, KV heads, tokens, dim] from the pages.
inline std::vector<double> cache(const DecodeHarness& run, bool keys) {
  std::vector<double> out;
  for (int l = 0; l < run.layout.layers; ++l)
    for (int h = 0; h < run.layout.kv_heads; ++h)
      for (std::int64_t t = 0; t < run.computed; ++t)
        for (int j = 0; j < run.layout.head_dim; ++j) out.push_back(keys ? run.k(l, h, t, j) : run.v(l, h, t, j));
  return out;
}

/// Positions that a run over the golden's prompt and greedy continuation needs.
inline std::int64_t positions_of(const GoldenTensors& golden, const std::string& prefix) {
  return static_cast<std::int64_t>(golden.ints(prefix + "ids").size() + golden.ints(prefix + "greedy").size());
}

/// Teacher-forced logits of the golden's prompt, the last rows of it that the golden has.
inline std::vector<double> golden_logits(DecodeHarness& run, const GoldenTensors& golden, const std::string& prefix) {
  const auto rows = static_cast<std::int64_t>(golden.reals(prefix + "logits").size()) / run.files.config().vocab;
  std::vector<std::int32_t> wanted(static_cast<std::size_t>(rows));
  std::iota(wanted.begin(), wanted.end(), static_cast<std::int32_t>(run.last_rows - rows));
  const MatrixView out = run.decoder.logits(wanted);
  run.backend.wait();
  const auto* const values = static_cast<const float*>(out.data);
  return {values, values + out.rows * out.columns};
}

/// Feeds the golden's prompt on pages in no natural order and compares logits, K, V and hidden states (each within
/// `tolerance` of its largest value) and greedy tokens with transformers' in float64.
inline void expect_agreement(DecodeHarness& run, const GoldenTensors& golden, const std::string& prefix,
                             double tolerance) {
  const auto want_greedy = golden.ints(prefix + "greedy");
  std::reverse(run.table.begin(), run.table.end());
  run.feed(golden.ints(prefix + "ids"));
  const auto calls = run.backend.calls;
  EXPECT_LE(relative_error(golden_logits(run, golden, prefix), golden.reals(prefix + "logits")), tolerance)
      << prefix << "logits";
  if (golden.has(prefix + "k")) {
    EXPECT_LE(relative_error(cache(run, true), golden.reals(prefix + "k")), tolerance) << prefix << "k";
    EXPECT_LE(relative_error(cache(run, false), golden.reals(prefix + "v")), tolerance) << prefix << "v";
    // hidden_states: [0] the embeddings, [l] the output of block l, [L] after the final norm, which only logits()
    // computes.
    std::vector<double> hidden;
    for (int l = 0; l < run.layout.layers; ++l) {
      const auto& state = calls[static_cast<std::size_t>(2 * l)];
      hidden.insert(hidden.end(), state.begin(), state.end());
    }
    auto want = golden.reals(prefix + "hidden");
    want.resize(hidden.size());
    EXPECT_LE(relative_error(hidden, want), tolerance) << prefix << "hidden";
  }
  std::vector<std::int32_t> greedy;
  while (greedy.size() < want_greedy.size()) {
    greedy.push_back(run.argmax());
    run.feed({&greedy.back(), 1});
  }
  EXPECT_EQ(greedy, want_greedy) << prefix;
}

}  // namespace kvgauge::testing
