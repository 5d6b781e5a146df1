// The C API's numbers against independent ones.
#include <cstring>
#include <map>

#include "capi_support.h"
#include "core/cat.h"
#include "loader/safetensors.h"
#include "past_key_values.h"
#include "reference/kv_pool.h"
#include "support/device_vector.h"

namespace kvgauge::testing {
namespace {

/// A dump's tensors where a device of this build can read them.
struct Dump {
  explicit Dump(const std::string& stem) {
    const std::string file = read_file(past_key_values(stem + ".safetensors"));
    for (const StoredTensor& tensor : parse_safetensors(std::as_bytes(std::span(file)), stem)) {
      if (tensor.name == "inverse_frequencies") {
        for (std::int64_t i = 0; i < tensor.columns; ++i) {
          float x;
          std::memcpy(&x, tensor.data.data() + 4 * i, 4);
          frequencies.push_back(x);
        }
        continue;
      }
      std::istringstream name(tensor.name.substr(std::strlen("layers.")));
      std::size_t layer = 0;
      name >> layer;
      auto& list = tensor.name.ends_with(".k") ? k : v;
      if (list.size() <= layer) list.resize(layer + 1);
      list[layer].assign(tensor.data.begin(), tensor.data.end());
      head_dim = static_cast<int>(tensor.columns);
      rows = tensor.rows;
      dtype = tensor.type == StoredType::kF32   ? KVGAUGE_F32
              : tensor.type == StoredType::kF16 ? KVGAUGE_F16
                                                : KVGAUGE_BF16;
    }
  }
  Handle<kvgauge_cache> cache(int positions) const {
    const int heads = static_cast<int>(rows / positions);
    const kvgauge_cache_shape shape = {dtype, static_cast<std::int32_t>(k.size()), heads, head_dim, positions, 1};
    std::vector<const void*> k_data, v_data;
    for (const auto& tensor : k) k_data.push_back(tensor.data());
    for (const auto& tensor : v) v_data.push_back(tensor.data());
    kvgauge_cache* made = nullptr;
    EXPECT_OK(kvgauge_cache_create_contiguous(&shape, k_data.data(), v_data.data(), &made));
    return Handle<kvgauge_cache>(made);
  }
  std::vector<DeviceVector<std::byte>> k, v;
  std::vector<double> frequencies;
  kvgauge_dtype dtype = KVGAUGE_F32;
  int head_dim = 0;
  std::int64_t rows = 0;
};

class PastKeyValues : public ::testing::TestWithParam<const char*> {};

TEST_P(PastKeyValues, ScoresAreThoseOfTheMethodInDoublePrecision) {
  const std::map<std::string, kvgauge_part> parts = {{"v", KVGAUGE_V}, {"k", KVGAUGE_K}, {"kv", KVGAUGE_KV}};
  const std::map<std::string, kvgauge_span> spans = {
      {"response", KVGAUGE_RESPONSE}, {"boundary", KVGAUGE_BOUNDARY}, {"all", KVGAUGE_ALL}, {"prompt", KVGAUGE_PROMPT}};
  const auto context = open_context(GetParam());
  const Json golden = past_key_values_scores();
  ASSERT_EQ(golden["dumps"].size(), 50u);
  for (const Json& one : golden["dumps"]) {
    const Dump dump(one["file"].get<std::string>());
    const int positions = one["positions"], heads = static_cast<int>(dump.rows / positions);
    const auto cache = dump.cache(positions);
    const std::int32_t block = 0;
    for (const Json& want : one["cases"]) {
      const auto layers =
          want.contains("layers") ? want["layers"].get<std::vector<std::int32_t>>() : std::vector<std::int32_t>();
      const kvgauge_trajectory_spec spec = {parts.at(want["part"]), layers.empty() ? nullptr : layers.data(),
                                            layers.size(), want["k_rope"] == "pre" ? dump.frequencies.data() : nullptr};
      const auto trajectory = open_trajectory(context.get(), &spec, heads, dump.head_dim, positions);
      kvgauge_sequence sequence = {&block, 1, 0, 0};
      ASSERT_OK(kvgauge_span_positions(spans.at(want["span"]), one["prompt_tokens"], positions, &sequence.begin,
                                       &sequence.end));
      kvgauge_trajectory* const handle = trajectory.get();
      ASSERT_OK(kvgauge_trajectory_extend(context.get(), cache.get(), &handle, &sequence, 1, nullptr));
      kvgauge_sums sums;
      kvgauge_scores scores;
      ASSERT_OK(kvgauge_trajectory_sums(handle, &sums));
      ASSERT_OK(kvgauge_scores_of(&sums, 1, 1, &scores));
      EXPECT_EQ(scores.tokens, want["tokens"].get<std::int64_t>());
      EXPECT_EQ(scores.valid != 0, want["valid"].get<bool>());
      const std::map<std::string, double> numbers = {{"paper_r", scores.paper_r},
                                                     {"paper_c", scores.paper_c},
                                                     {"normalized_r", scores.normalized_r},
                                                     {"normalized_c", scores.normalized_c},
                                                     {"normalized_cart_c", scores.normalized_cart_c},
                                                     {"diff_r", scores.diff_r},
                                                     {"polar_raw_c", scores.polar_raw_c},
                                                     {"mean_dr", scores.mean_dr},
                                                     {"mean_dtheta", scores.mean_dtheta},
                                                     {"end_dr", scores.end_dr},
                                                     {"end_dtheta", scores.end_dtheta}};
      expect_scores(
          want, [&](const char* key) { return numbers.at(key); },
          cat(one["file"].get<std::string>(), " ", want["part"].get<std::string>(), " ",
              want["span"].get<std::string>(), " ", want["k_rope"].get<std::string>()));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Device, PastKeyValues, ::testing::ValuesIn(devices()),
                         [](const auto& instance) { return std::string(instance.param); });

/// A cache of two layers, one block of 24 positions, in f32, and its numbers in double.
struct Small {
  static constexpr int kLayers = 3, kHeads = 2, kHeadDim = 6, kTokens = 24;
  Small() {
    for (int i = 0; i < 2 * kLayers; ++i) {
      tensors.emplace_back();
      for (int at = 0; at < kHeads * kTokens * kHeadDim; ++at)
        tensors.back().push_back(static_cast<float>(std::sin(0.37 * at + i) + 0.1 * i));
    }
    std::vector<const void*> k, v;
    for (int layer = 0; layer < kLayers; ++layer) {
      k.push_back(tensors[static_cast<std::size_t>(layer)].data());
      v.push_back(tensors[static_cast<std::size_t>(kLayers + layer)].data());
    }
    const kvgauge_cache_shape shape = {KVGAUGE_F32, kLayers, kHeads, kHeadDim, kTokens, 1};
    kvgauge_cache* made = nullptr;
    EXPECT_OK(kvgauge_cache_create_contiguous(&shape, k.data(), v.data(), &made));
    cache.reset(made);
  }
  double at(bool value, int layer, int head, int t, int j) const {
    return tensors[static_cast<std::size_t>((value ? kLayers : 0) + layer)]
                  [static_cast<std::size_t>((head * kTokens + t) * kHeadDim + j)];
  }
  std::vector<DeviceVector<float>> tensors;
  Handle<kvgauge_cache> cache;
};

class CApiGauges : public ::testing::TestWithParam<const char*> {};

TEST_P(CApiGauges, WindowsAndTheHeadAreThoseOfTheReference) {
  const Small small;
  const auto context = open_context(GetParam());
  const std::int32_t layers[] = {0, 2}, block = 0;
  const kvgauge_sequence windows[] = {{&block, 1, 4, 20}, {&block, 1, 23, 24}};
  for (const bool mean_positions : {false, true})
    for (const bool mean_heads : {false, true}) {
      const kvgauge_window_spec spec = {KVGAUGE_KV, layers, 2, mean_positions, mean_heads};
      const auto features = static_cast<std::size_t>(kvgauge_window_features(small.cache.get(), &spec));
      ASSERT_EQ(features, static_cast<std::size_t>(2 * (mean_heads ? 1 : Small::kHeads) * Small::kHeadDim));
      std::vector<float> w1, b1 = {0.5f, -0.25f, 3}, w2 = {2, -1, 0.5f}, b2 = {1.5f}, mean, deviation;
      for (std::size_t i = 0; i < 3 * features; ++i)
        w1.push_back(static_cast<float>(std::cos(0.7 * static_cast<double>(i))));
      for (std::size_t i = 0; i < features; ++i) {
        mean.push_back(0.01f * static_cast<float>(i));
        deviation.push_back(1 + 0.1f * static_cast<float>(i));
      }
      const kvgauge_head_weights weights = {static_cast<std::int64_t>(features),
                                            3,
                                            w1.data(),
                                            b1.data(),
                                            w2.data(),
                                            b2.data(),
                                            mean.data(),
                                            deviation.data()};
      kvgauge_head* made = nullptr;
      ASSERT_OK(kvgauge_head_create(context.get(), &weights, &made));
      const Handle<kvgauge_head> head(made);
      std::vector<float> got(2 * features), d(2);
      ASSERT_OK(kvgauge_windows(context.get(), small.cache.get(), &spec, head.get(), windows, 2, got.data(), d.data(),
                                nullptr));
      for (std::size_t w = 0; w < 2; ++w) {
        std::vector<std::vector<std::vector<double>>> rows;
        for (const int layer : layers) {
          rows.emplace_back();
          for (std::int64_t t = windows[w].begin; t < windows[w].end; ++t) {
            rows.back().emplace_back();
            for (const bool value : {false, true})
              for (int h = 0; h < Small::kHeads; ++h)
                for (int j = 0; j < Small::kHeadDim; ++j)
                  rows.back().back().push_back(small.at(value, layer, h, static_cast<int>(t), j));
          }
        }
        auto want = reference_kv_pool(rows, Small::kHeads, Small::kHeadDim, mean_positions, mean_heads);
        for (std::size_t c = 0; c < features; ++c) {
          EXPECT_NEAR(got[w * features + c], want.features[c], 20 * 0x1p-24 * want.magnitudes[c]);
          want.features[c] = (want.features[c] - double{mean[c]}) / double{deviation[c]};
          want.magnitudes[c] = (want.magnitudes[c] + double{mean[c]}) / double{deviation[c]};
        }
        const auto number = reference_pool_head(want.features, want.magnitudes, w1, b1, w2, b2[0]);
        EXPECT_NEAR(d[w], number.d, 64 * 0x1p-24 * number.magnitude);
      }
    }
}

TEST_P(CApiGauges, EmbeddingsAreThoseOfTheMethod) {
  const Small small;
  const auto context = open_context(GetParam());
  const std::int32_t block = 0;
  const kvgauge_sequence sequence = {&block, 1, 5, 17};
  for (const kvgauge_pool positions : {KVGAUGE_MEAN, KVGAUGE_SUM, KVGAUGE_FIRST, KVGAUGE_LAST})
    for (const kvgauge_pool heads : {KVGAUGE_MEAN, KVGAUGE_FLATTEN})
      for (const kvgauge_pool over_layers : {KVGAUGE_MEAN, KVGAUGE_SUM, KVGAUGE_LAST, KVGAUGE_FLATTEN})
        for (const bool normalize : {false, true}) {
          const kvgauge_embedding_spec spec = {KVGAUGE_KV, nullptr, 0, positions, heads, over_layers, normalize};
          // [layer][head][K, V][j], each outer axis reduced or kept
          std::vector<double> want;
          const int kept_layers = over_layers == KVGAUGE_FLATTEN ? Small::kLayers : 1,
                    kept_heads = heads == KVGAUGE_FLATTEN ? Small::kHeads : 1;
          for (int kl = 0; kl < kept_layers; ++kl)
            for (int kh = 0; kh < kept_heads; ++kh)
              for (const bool value : {false, true})
                for (int j = 0; j < Small::kHeadDim; ++j) {
                  double sum = 0;
                  for (int layer = 0; layer < Small::kLayers; ++layer) {
                    if (over_layers == KVGAUGE_FLATTEN ? layer != kl
                                                       : over_layers == KVGAUGE_LAST && layer != Small::kLayers - 1)
                      continue;
                    for (int h = 0; h < Small::kHeads; ++h) {
                      if (heads == KVGAUGE_FLATTEN && h != kh) continue;
                      double of_positions = 0;
                      for (int t = 5; t < 17; ++t) {
                        if ((positions == KVGAUGE_FIRST && t != 5) || (positions == KVGAUGE_LAST && t != 16)) continue;
                        of_positions += small.at(value, layer, h, t, j);
                      }
                      sum += positions == KVGAUGE_MEAN ? of_positions / 12 : of_positions;
                    }
                  }
                  want.push_back(sum / (over_layers == KVGAUGE_MEAN ? Small::kLayers : 1) /
                                 (heads == KVGAUGE_MEAN ? Small::kHeads : 1));
                }
          double squares = 0;
          for (const double x : want) squares += x * x;
          ASSERT_EQ(kvgauge_embedding_values(small.cache.get(), &spec), static_cast<std::int64_t>(want.size()));
          std::vector<float> got(want.size());
          ASSERT_OK(kvgauge_embed(context.get(), small.cache.get(), &spec, &sequence, 1, got.data(), nullptr));
          // at most 3 * 2 * 12 f32 numbers below 1.5 are added
          const double most = 20 * 0x1p-24 * 3 * 2 * 12 * 1.5;
          for (std::size_t i = 0; i < want.size(); ++i)
            ASSERT_NEAR(got[i], normalize ? want[i] / std::sqrt(squares) : want[i],
                        normalize ? 2 * most / std::sqrt(squares) : most);
        }
}

TEST_P(CApiGauges, ACopyGoesOnByItself) {
  const Small small;
  const auto context = open_context(GetParam());
  const auto parent = open_trajectory(context.get(), nullptr, Small::kHeads, Small::kHeadDim, Small::kTokens);
  const std::int32_t block = 0;
  const auto extend = [&](kvgauge_trajectory* one, std::int64_t begin, std::int64_t end) {
    const kvgauge_sequence sequence = {&block, 1, begin, end};
    ASSERT_OK(kvgauge_trajectory_extend(context.get(), small.cache.get(), &one, &sequence, 1, nullptr));
  };
  extend(parent.get(), 2, 11);
  kvgauge_trajectory* made = nullptr;
  ASSERT_OK(kvgauge_trajectory_copy(parent.get(), &made));
  const Handle<kvgauge_trajectory> child(made);
  EXPECT_EQ(kvgauge_trajectory_points(made), 9);
  extend(made, 11, 24);
  extend(parent.get(), 11, 13);
  const auto whole = open_trajectory(context.get(), nullptr, Small::kHeads, Small::kHeadDim, Small::kTokens);
  extend(whole.get(), 2, 24);
  kvgauge_sums a, b;
  ASSERT_OK(kvgauge_trajectory_sums(made, &a));
  ASSERT_OK(kvgauge_trajectory_sums(whole.get(), &b));
  EXPECT_EQ(std::memcmp(&a, &b, sizeof a), 0);
  EXPECT_EQ(kvgauge_trajectory_points(parent.get()), 11);
}

INSTANTIATE_TEST_SUITE_P(Device, CApiGauges, ::testing::ValuesIn(devices()),
                         [](const auto& instance) { return std::string(instance.param); });

}  // namespace
}  // namespace kvgauge::testing
