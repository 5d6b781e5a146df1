// The embedded model against its golden references (tests/golden/tiny-reasoner/README.txt): tokens, logits, KV, KV-CoE,
// probabilities.
#include <gtest/gtest.h>

#include <cmath>

#include "core/cat.h"
#include "core/json.h"
#include "engine/prompt.h"
#include "kvgauge/engine.h"
#include "support/decode_harness.h"
#include "support/paths.h"

namespace kvgauge {
namespace {

using testing::repo_path;

constexpr double kRelative = 1e-4;  // of the issue: scores, probabilities, checksums in f32
constexpr double kLogit = 1e-3;     // absolute

std::filesystem::path model() { return repo_path("models/tiny-reasoner"); }

std::vector<Json> goldens() {
  std::vector<Json> all;
  for (int i = 0; i < 24; ++i) {
    const auto path =
        repo_path(fmt::format("tests/golden/tiny-reasoner/golden_{:02}_{}.json", i, i < 12 ? "fast" : "slow"));
    all.push_back(parse_json(testing::read_file(path), path.string()));
  }
  return all;
}

std::vector<std::int32_t> ints(const Json& list) { return list.get<std::vector<std::int32_t>>(); }

void expect_close(double got, double want, const std::string& what, double floor = 1e-6) {
  EXPECT_NEAR(got, want, kRelative * std::max(std::abs(want), floor)) << what;
}

TEST(TinyReasonerGolden, LogitsAndCacheMatch) {
  const std::vector<Json> cases = goldens();
  for (std::size_t c = 0; c < cases.size(); ++c) {
    const Json& golden = cases[c];
    const auto prompt = ints(golden["prompt_ids"]);
    auto ids = ints(golden["greedy_ids"]);
    if (golden["ended_with_eos"].get<bool>()) ids.pop_back();
    CpuOptions options;
    options.threads = 2;
    options.compute_dtype = DType::kF32;
    options.batch_invariant = c % 2 == 1;
    testing::DecodeHarness run(model(), options, static_cast<std::int64_t>(prompt.size() + ids.size()));
    run.feed(prompt, c % 3 == 0 ? 7 : 1 << 20);
    const auto logits = run.logits();
    for (const Json& entry : golden["top10"])
      EXPECT_NEAR(logits[entry[0].get<std::size_t>()], entry[1].get<double>(), kLogit) << "golden " << c;
    run.feed(ids, 40);

    const auto positions = static_cast<std::int64_t>(prompt.size() + ids.size()),
               boundary = static_cast<std::int64_t>(prompt.size());
    for (const Json& want : golden["kv_layers"]) {
      const int layer = want["layer"].get<int>();
      double k_sum = 0, v_sum = 0, k_abs = 0, v_abs = 0, k_response = 0, v_response = 0;
      for (int head = 0; head < 2; ++head)
        for (std::int64_t p = 0; p < positions; ++p)
          for (int j = 0; j < 32; ++j) {
            const double k = run.k(layer, head, p, j), v = run.v(layer, head, p, j);
            k_sum += k;
            v_sum += v;
            k_abs = std::max(k_abs, std::abs(k));
            v_abs = std::max(v_abs, std::abs(v));
            if (p >= boundary) k_response += k, v_response += v;
          }
      // Means of signed values cancel: their error is that of the terms (1e-4 of a typical magnitude of 1), not of the
      // mean.
      const double count = static_cast<double>(positions) * 64, response = static_cast<double>(ids.size()) * 64;
      EXPECT_NEAR(k_sum / count, want["k_mean"].get<double>(), kRelative);
      EXPECT_NEAR(v_sum / count, want["v_mean"].get<double>(), kRelative);
      EXPECT_NEAR(k_response / response, want["k_response_mean"].get<double>(), kRelative);
      EXPECT_NEAR(v_response / response, want["v_response_mean"].get<double>(), kRelative);
      expect_close(k_abs, want["k_absmax"].get<double>(), "k_absmax");
      expect_close(v_abs, want["v_absmax"].get<double>(), "v_absmax");
      for (int j = 0; j < 4; ++j) {
        expect_close(run.k(layer, 0, boundary - 1, j),
                     want["k_last_prompt_head0_first4"][static_cast<std::size_t>(j)].get<double>(), "k slice", 1);
        expect_close(run.v(layer, 0, boundary - 1, j),
                     want["v_last_prompt_head0_first4"][static_cast<std::size_t>(j)].get<double>(), "v slice", 1);
      }
    }
  }
}

Request request_for(const Json& golden, GaugePart part, GaugeSpan span) {
  Request request;
  request.prompt = ints(golden["prompt_ids"]);
  request.stop.max_tokens = 400;
  request.scores = {.kv_coe = true, .prob = true, .part = part, .span = span, .keep_trajectory = true};
  return request;
}

void check_trajectory(const Answer& answer, const Json& want, const std::string& what) {
  ASSERT_TRUE(answer.kv_coe.has_value());
  const KvCoeScores& got = *answer.kv_coe;
  EXPECT_EQ(got.tokens, want["n_points"].get<std::int64_t>()) << what;
  expect_close(got.mean_dr, want["mean_delta_r"].get<double>(), what + " mean dr");
  expect_close(got.mean_dtheta, want["mean_delta_theta"].get<double>(), what + " mean dtheta");
  expect_close(got.paper_c, want["abs_mean_complex"].get<double>(), what + " paper C");
  expect_close(got.paper_r, want["mean_delta_r"].get<double>() + want["mean_delta_theta"].get<double>(),
               what + " paper R");
  for (std::size_t t = 0; t < want["delta_r_first8"].size(); ++t) {
    expect_close(answer.dr[t], want["delta_r_first8"][t].get<double>(), what + " dr", 1);
    expect_close(answer.dtheta[t], want["delta_theta_first8"][t].get<double>(), what + " dtheta", 0.1);
  }
}

TEST(TinyReasonerGolden, GreedyTokensAndScoresMatchForTheWholeBatchAtOnce) {
  EngineOptions options;
  options.model = model();
  options.dtype = "f32";
  options.threads = 2;
  Engine engine(options);
  const std::vector<Json> cases = goldens();
  struct Run {
    GaugePart part;
    GaugeSpan span;
    const char *part_name, *span_name;
  };
  const std::vector<Run> runs = {{GaugePart::kV, GaugeSpan::kResponse, "v", "response"},
                                 {GaugePart::kV, GaugeSpan::kAll, "v", "sequence"},
                                 {GaugePart::kKV, GaugeSpan::kResponse, "kv", "response"},
                                 {GaugePart::kKV, GaugeSpan::kAll, "kv", "sequence"}};
  for (const Run& run : runs)
    for (const Json& golden : cases) engine.submit(request_for(golden, run.part, run.span));
  std::size_t seen = 0;
  while (engine.step())
    while (const auto done = engine.next_finished()) {
      ++seen;
      const Json& golden = cases[static_cast<std::size_t>(done->request) % cases.size()];
      const Run& run = runs[static_cast<std::size_t>(done->request) / cases.size()];
      ASSERT_EQ(done->error, "");
      const Answer& answer = done->answers[0];
      EXPECT_EQ(answer.tokens, ints(golden["greedy_ids"])) << "request " << done->request;
      std::string text = golden["greedy_text"].get<std::string>();
      if (const auto end = text.find("<|im_end|>"); end != std::string::npos) text.resize(end);
      EXPECT_EQ(answer.text, text);
      EXPECT_EQ(answer.finish_reason == FinishReason::kStop, golden["ended_with_eos"].get<bool>());
      check_trajectory(answer, golden["kv_coe"][run.part_name][run.span_name],
                       fmt::format("request {} {} {}", done->request, run.part_name, run.span_name));
      const Json& with_eos = golden["confidence"]["with_eos"];
      expect_close(answer.prob->maxprob_official, with_eos["mean_max_prob"].get<double>(), "max prob");
      EXPECT_NEAR(answer.prob->nll, with_eos["mean_neg_logp"].get<double>(),
                  kRelative * std::max(with_eos["mean_neg_logp"].get<double>(), 0.02))
          << "nll";
      EXPECT_NEAR(answer.prob->entropy_nats, with_eos["mean_entropy_nats"].get<double>(),
                  kRelative * std::max(with_eos["mean_entropy_nats"].get<double>(), 0.02))
          << "entropy";
    }
  EXPECT_EQ(seen, runs.size() * cases.size());
}

TEST(TinyReasonerGolden, TemplateAndTokenizerGiveThePromptTokens) {
  const ModelFiles files = ModelFiles::open(model());
  const Tokenizer tokenizer(files.tokenizer());
  const ChatTemplate chat(*files.chat_template(), files.chat_template_where());
  const Prompter prompter{
      .tokenizer = &tokenizer, .chat_template = &chat, .bos_token = files.bos_token(), .eos_token = files.eos_token()};
  for (const Json& golden : goldens()) {
    OrderedJson messages = OrderedJson::array();
    for (const Json& m : golden["messages"])
      messages.push_back({{"role", m["role"].get<std::string>()}, {"content", m["content"].get<std::string>()}});
    const std::string text = prompter.render(messages, nullptr, golden["enable_thinking"].get<bool>());
    EXPECT_EQ(text, golden["chat_text"].get<std::string>());
    EXPECT_EQ(prompter.tokens_of_chat(text), ints(golden["prompt_ids"]));
  }
}

TEST(TinyReasonerGolden, NothingIsMeasuredUnlessAskedFor) {
  EngineOptions options;
  options.model = model();
  Engine engine(options);
  Request request;
  request.prompt = ints(goldens()[0]["prompt_ids"]);
  engine.submit(request);
  while (engine.step()) {
  }
  const auto done = engine.next_finished();
  ASSERT_TRUE(done && done->error.empty());
  EXPECT_FALSE(done->answers[0].kv_coe || done->answers[0].prob);
  EXPECT_EQ(engine.stats().gauge_calls, 0);  // off means off: no gauge work, no log-sum-exp under greedy
  EXPECT_EQ(engine.stats().stats_calls, 0);
}

}  // namespace
}  // namespace kvgauge
