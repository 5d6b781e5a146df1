// SmolLM2-135M-Instruct (its Q4_1 GGUF) against transformers in float64 (tests/golden/smollm2/README.txt).
#include <gtest/gtest.h>

#include <cmath>

#include "core/json.h"
#include "engine/prompt.h"
#include "kvgauge/engine.h"
#include "support/decode_harness.h"
#include "support/golden_tensors.h"
#include "support/paths.h"

namespace kvgauge::testing {
namespace {

constexpr const char* kFile = "SmolLM2-135M-Instruct.Q4_1.gguf";
constexpr double kTolerance = 1e-4;

Json golden_json() { return parse_json(read_file(repo_path("tests/golden/smollm2/golden.json")), "golden.json"); }
GoldenTensors golden_tensors() { return GoldenTensors(repo_path("tests/golden/smollm2/golden.safetensors")); }

class SmolLm2 : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(model_path(kFile))) GTEST_SKIP() << missing_model(kFile);
  }
};

std::vector<double> pick(const std::vector<float>& from, const std::vector<std::int32_t>& ids) {
  std::vector<double> out;
  for (const std::int32_t id : ids) out.push_back(from[static_cast<std::size_t>(id)]);
  return out;
}

TEST_F(SmolLm2, LogitsCacheAndHiddenStatesMatch) {
  const GoldenTensors golden = golden_tensors();
  CpuOptions options;
  options.compute_dtype = DType::kF32;
  DecodeHarness run(model_path(kFile), options, 320);
  for (const std::string p : {"p0.", "p1.", "p2."}) {
    const auto ids = golden.ints(p + "ids");
    run.computed = 0;  // a new sequence over the same pages
    run.feed(ids);
    const auto calls = run.backend.calls;
    const auto logits = run.logits();
    EXPECT_LE(relative_error(pick(logits, golden.ints(p + "top_ids")), golden.reals(p + "top_logits")), kTolerance);
    EXPECT_LE(relative_error(pick(logits, golden.ints(p + "fixed_ids")), golden.reals(p + "fixed_logits")), kTolerance);

    std::vector<double> k, v, hidden;
    const auto positions = golden.ints(p + "positions");
    for (const int layer : {0, 15, 29})
      for (const std::int32_t position : positions)
        for (int j = 0; j < 64; ++j) {
          k.push_back(run.k(layer, 0, position, j));
          v.push_back(run.v(layer, 0, position, j));
        }
    EXPECT_LE(relative_error(k, golden.reals(p + "k_slice")), kTolerance);
    EXPECT_LE(relative_error(v, golden.reals(p + "v_slice")), kTolerance);
    for (const int layer : {0, 15})
      for (const std::int32_t position : positions) {
        const auto row = calls[static_cast<std::size_t>(2 * layer)].begin() + position * 576;
        hidden.insert(hidden.end(), row, row + 576);
      }
    auto want = golden.reals(p + "hidden_slice");
    want.resize(hidden.size());
    EXPECT_LE(relative_error(hidden, want), kTolerance);

    const auto check = [&](bool keys) {
      const auto sums = golden.reals(p + (keys ? "k_checksum" : "v_checksum"));
      for (int l = 0; l < 30; ++l) {
        double sum = 0, magnitude = 0, weighted = 0;
        std::int64_t i = 0;
        for (int h = 0; h < 3; ++h)
          for (std::int64_t t = 0; t < static_cast<std::int64_t>(ids.size()); ++t)
            for (int j = 0; j < 64; ++j, ++i) {
              const double x = keys ? run.k(l, h, t, j) : run.v(l, h, t, j);
              sum += x;
              magnitude += std::abs(x);
              weighted += x * (static_cast<double>(i % 101) - 50) / 50;
            }
        const double allowed =
            kTolerance * sums[static_cast<std::size_t>(3 * l + 1)];  // of the sum of magnitudes: signed sums cancel
        EXPECT_NEAR(sum, sums[static_cast<std::size_t>(3 * l)], allowed) << "layer " << l;
        EXPECT_NEAR(magnitude, sums[static_cast<std::size_t>(3 * l + 1)], allowed);
        EXPECT_NEAR(weighted, sums[static_cast<std::size_t>(3 * l + 2)], allowed);
      }
    };
    check(true);
    check(false);
  }
}

TEST_F(SmolLm2, ChatGreedyTokensAndScoresMatch) {
  const Json golden = golden_json();
  const GoldenTensors tensors = golden_tensors();
  EngineOptions options;
  options.model = model_path(kFile);
  options.dtype = "f32";
  options.max_model_len = 512;
  Engine engine(options);
  const Prompter prompter{.tokenizer = &engine.tokenizer(),
                          .chat_template = engine.chat_template(),
                          .bos_token = engine.files().bos_token(),
                          .eos_token = engine.files().eos_token()};
  for (std::size_t p = 0; p < 3; ++p) {
    const Json& want = golden["prompts"][p];
    OrderedJson messages = OrderedJson::array();
    for (const Json& m : want["messages"])
      messages.push_back({{"role", m["role"].get<std::string>()}, {"content", m["content"].get<std::string>()}});
    const std::string text = prompter.render(messages, nullptr, std::nullopt);
    EXPECT_EQ(text, want["text"].get<std::string>());
    Request request;
    request.prompt = prompter.tokens_of_chat(text);
    EXPECT_EQ(request.prompt, tensors.ints("p" + std::to_string(p) + ".ids"));
    request.stop.max_tokens = 64;
    request.scores = {
        .kv_coe = true, .prob = true, .part = GaugePart::kV, .span = GaugeSpan::kResponse, .keep_trajectory = true};
    engine.submit(std::move(request));
  }
  while (engine.step()) {
  }
  int seen = 0;
  while (const auto done = engine.next_finished()) {
    ++seen;
    const std::string p = "p" + std::to_string(done->request) + ".";
    const Json& want = golden["prompts"][static_cast<std::size_t>(done->request)];
    ASSERT_EQ(done->error, "");
    const Answer& answer = done->answers[0];
    EXPECT_EQ(answer.tokens, tensors.ints(p + "greedy"));
    EXPECT_EQ(answer.text, want["response"].get<std::string>());
    EXPECT_STREQ(name(answer.finish_reason), want["finish_reason"].get<std::string>().c_str());
    EXPECT_LE(relative_error({answer.dr.begin(), answer.dr.end()}, tensors.reals(p + "dr")), kTolerance);
    EXPECT_LE(relative_error({answer.dtheta.begin(), answer.dtheta.end()}, tensors.reals(p + "dtheta")), kTolerance);
    const auto near = [&](double got, const Json& object, const char* key, double scale = 0) {
      const double value = object.at(key).get<double>();
      EXPECT_NEAR(got, value, kTolerance * std::max(std::abs(value), scale)) << p << key;
    };
    const Json &coe = want["kv_coe"], &prob = want["prob"];
    const KvCoeScores& got = *answer.kv_coe;
    EXPECT_EQ(got.tokens, coe["tokens"].get<std::int64_t>());
    near(got.paper_r, coe, "paper_r");
    near(got.paper_c, coe, "paper_c");
    near(got.normalized_r, coe, "normalized_r", got.mean_dr / got.end_dr);  // the difference of two such terms
    near(got.normalized_c, coe, "normalized_c");
    near(got.normalized_cart_c, coe, "normalized_cart_c");
    near(got.diff_r, coe, "diff_r", got.mean_dr);
    near(got.polar_raw_c, coe, "polar_raw_c");
    near(answer.prob->maxprob_official, prob, "maxprob_official");
    near(answer.prob->ppl_official, prob, "ppl_official");
    near(answer.prob->entropy_official, prob, "entropy_official");
    near(answer.prob->nll, prob, "nll");
    near(answer.prob->perplexity, prob, "perplexity");
    near(answer.prob->entropy_nats, prob, "entropy_nats");
    near(answer.prob->min_prob, prob, "min_prob");
    near(answer.prob->margin, prob, "margin");
    near(answer.prob->self_certainty, prob, "self_certainty");
  }
  EXPECT_EQ(seen, 3);
}

}  // namespace
}  // namespace kvgauge::testing
