// Difficulties and think tags as a caller of Engine sees them, on the embedded model.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "engine/asking.h"
#include "kvgauge/error.h"

namespace kvgauge {
namespace {

using testing::constant_head;
using testing::tiny_reasoner;

constexpr std::int64_t kLayers = 6, kHeads = 2, kHeadDim = 32;

/// d around 50 that changes from window to window, by a seed.
DifficultyHead random_head(const Engine& engine, std::uint64_t seed, std::int64_t positions = 16) {
  DifficultyHead head = constant_head(engine, 50);
  head.window.layers = {1, 4};
  head.window.positions = positions;
  head.hidden = 24;
  std::mt19937_64 random(seed);
  const auto draw = [&](std::size_t count, float scale) {
    std::vector<float> values(count);
    for (float& value : values)
      value = scale * (static_cast<float>(random() >> 40) / 8388608.0f - 1);  // exact, the same everywhere
    return values;
  };
  const auto features = static_cast<std::size_t>(head.features());
  head.w1 = draw(24 * features, 0.2f);
  head.b1 = draw(24, 1);
  head.w2 = draw(24, 4);
  head.mean = draw(features, 0.5f);
  head.deviation.assign(features, 2.0f);
  return head;
}

/// Asks and waits.
struct Asking : testing::Asking {
  using testing::Asking::Asking;

  std::vector<Finished> run(std::vector<Request> requests) {
    std::vector<Finished> finished(requests.size());
    const std::int64_t first = engine.submit(requests[0]);
    for (std::size_t i = 1; i < requests.size(); ++i) engine.submit(requests[i]);
    while (engine.step()) {
    }
    while (auto done = engine.next_finished()) finished.at(static_cast<std::size_t>(done->request - first)) = *done;
    return finished;
  }
  Finished run_one(Request request) { return std::move(run({std::move(request)})[0]); }
};

const std::vector<std::string> kQuestions = {
    "Eva starts a game with 8 points. She scores 6 points. What is the score in the end?",
    "Tom has 3 pens. He buys 4. How many has he?",
    "A bus has 31 passengers. At the first stop, 12 get off and 7 get on. At the second stop, 5 get off. How many "
    "passengers are on the bus?",
    "Think of the number 14. Add 9. Multiply by 3. Subtract 20. What is the result?"};

template <class T>
void expect_same_bits(const T& a, const T& b, const char* what) {
  EXPECT_EQ(std::memcmp(&a, &b, sizeof(T)), 0) << what;
}

void expect_same(const Answer& a, const Answer& b) {
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.text, b.text);
  ASSERT_TRUE(a.kv_coe && b.kv_coe && a.prob && b.prob);
  EXPECT_EQ(a.kv_coe->tokens, b.kv_coe->tokens);
  EXPECT_EQ(a.kv_coe->mean_dr, b.kv_coe->mean_dr);
  EXPECT_EQ(a.kv_coe->normalized_c, b.kv_coe->normalized_c);
  EXPECT_EQ(a.prob->tokens, b.prob->tokens);
  EXPECT_EQ(a.prob->nll, b.prob->nll);
  EXPECT_EQ(a.prob->entropy_nats, b.prob->entropy_nats);
}

TEST(ThinkStyle, ComesFromTheTemplate) {
  const Asking ask;
  EXPECT_EQ(ask.style.text.open, "<think>\n");
  EXPECT_EQ(ask.style.text.close, "</think>\n\n");
  EXPECT_EQ(ask.style.text.fast_prefix, "<think>\n\n</think>\n\n");
  EXPECT_EQ(ask.style.tags.end.size(), 1u) << "an added token of this model";
  for (const bool thinking : {false, true}) {
    std::vector<std::int32_t> prompt = ask.bare(kQuestions[0]);
    const auto& tag = thinking ? ask.style.tags.open : ask.style.tags.fast_prefix;
    prompt.insert(prompt.end(), tag.begin(), tag.end());
    EXPECT_EQ(prompt, ask.rendered(kQuestions[0], thinking)) << "tags are cut where tokens are";
  }
}

TEST(ThinkStyle, OfOtherTemplates) {
  const Asking ask;
  const auto style = [&](const std::string& source, const ThinkText& wanted = {}) {
    const ChatTemplate chat(source, "test");
    Prompter prompter = ask.prompter;
    prompter.chat_template = &chat;
    const ThinkStyle found = find_think_style(prompter, source, wanted);
    EXPECT_EQ(found.bare_prompt(prompter, Asking::messages("q <think> w"), nullptr), "q <think> w:");
    return found;
  };
  // A template without a switch that opens a block itself (DeepSeek-R1-Distill).
  const ThinkStyle opened = style("{{ messages[0].content + ':<think>\\n' }}");
  EXPECT_EQ(opened.text.open, "<think>\n");
  EXPECT_EQ(opened.text.fast_prefix, "<think>\n</think>\n\n");
  // Qwen3's: nothing is written with thinking on.
  const ThinkStyle qwen = style(
      "{{ messages[0].content }}:{% if enable_thinking is defined and enable_thinking is false "
      "%}<think>\n\n</think>\n\n"
      "{% endif %}");
  EXPECT_EQ(qwen.text.open, "<think>\n");
  EXPECT_EQ(qwen.text.close, "</think>\n\n");
  EXPECT_EQ(qwen.text.fast_prefix, "<think>\n\n</think>\n\n");
  // A template that knows nothing of it.
  EXPECT_EQ(style("{{ messages[0].content }}:").text.fast_prefix, "<think>\n</think>\n\n");
  EXPECT_EQ(style("{{ messages[0].content }}:", {.open = "[", .close = "]", .fast_prefix = "[]"}).text.close, "]");
}

TEST(Thinking, AFirstModeIsTheTemplatesMode) {
  for (const float d : {80.0f, 20.0f}) {
    SCOPED_TRACE(d);
    Asking ask;
    ask.engine.use_difficulty_head(constant_head(ask.engine, d));
    const Finished wanted = ask.run_one(ask.plain(ask.rendered(kQuestions[2], d > 50)));
    const Finished got = ask.run_one(ask.thinking(kQuestions[2], ThinkingStart::kDifficulty, {.max_switches = 0}));
    ASSERT_EQ(got.error, "");
    EXPECT_EQ(got.difficulty, static_cast<double>(d));
    EXPECT_EQ(got.prompt_suffix, d > 50 ? ask.style.tags.open : ask.style.tags.fast_prefix);
    EXPECT_EQ(got.prompt_tokens + std::ssize(got.prompt_suffix), wanted.prompt_tokens);
    expect_same(got.answers[0], wanted.answers[0]);
    const ThinkingRecord& record = *got.answers[0].thinking;
    EXPECT_EQ(record.first, d > 50 ? ThinkingMode::kSlow : ThinkingMode::kFast);
    EXPECT_EQ(record.last, d > 50 ? ThinkingMode::kAnswer : ThinkingMode::kFast);
    EXPECT_EQ(record.sampled, std::ssize(got.answers[0].tokens));
    EXPECT_EQ(record.injected, std::ssize(got.prompt_suffix));
    EXPECT_EQ(record.probes, 1);
    EXPECT_EQ(ask.engine.stats().difficulty_calls, 1);
  }
}

TEST(Thinking, ASwitchGoesOnInTheSameCache) {
  Asking ask;
  ask.engine.use_difficulty_head(constant_head(ask.engine, 40));
  const ControllerSettings settings{.tau_fast = 45, .interval = 10, .max_switches = 1, .min_tokens = 0, .patience = 2};
  const Finished got = ask.run_one(ask.thinking(kQuestions[3], ThinkingStart::kSlow, settings));
  ASSERT_EQ(got.error, "");
  const ThinkingRecord& record = *got.answers[0].thinking;
  ASSERT_EQ(record.switches.size(), 1u);
  EXPECT_EQ(record.switches[0].at, 20) << "the second look of two that must agree";
  EXPECT_EQ(record.switches[0].d, 40);
  EXPECT_EQ(record.injected, 4);
  const auto& tokens = got.answers[0].tokens;
  EXPECT_EQ(record.sampled + 2, std::ssize(tokens));
  EXPECT_EQ(record.last_segment, record.sampled - 20);

  // The same tokens in front, closed by hand: what follows must be the same.
  const auto& close = ask.style.tags.close;
  std::vector<std::int32_t> prompt = ask.rendered(kQuestions[3], true);
  prompt.insert(prompt.end(), tokens.begin(), tokens.begin() + 20);
  prompt.insert(prompt.end(), close.begin(), close.end());
  const Finished by_hand = ask.run_one(ask.plain(prompt));
  EXPECT_EQ(std::vector(tokens.begin() + 22, tokens.end()), by_hand.answers[0].tokens);
  EXPECT_TRUE(std::equal(close.begin(), close.end(), tokens.begin() + 20));
  EXPECT_TRUE(got.answers[0].text.ends_with("</think>\n\n" + by_hand.answers[0].text)) << got.answers[0].text;

  // Scored afterwards: the trajectory has the injected tokens, the probabilities do not.
  Request forced = ask.plain(ask.rendered(kQuestions[3], true));
  forced.response = tokens;
  forced.injected = {{.at = 20, .count = 2}};
  const Finished scored = ask.run_one(forced);
  EXPECT_EQ(scored.answers[0].kv_coe->tokens, got.answers[0].kv_coe->tokens);
  EXPECT_EQ(scored.answers[0].kv_coe->normalized_c, got.answers[0].kv_coe->normalized_c);
  EXPECT_EQ(scored.answers[0].prob->tokens, record.sampled);
  EXPECT_EQ(scored.answers[0].prob->nll, got.answers[0].prob->nll);
}

TEST(Thinking, ReopensAndGoesBack) {
  Asking ask;
  ask.engine.use_difficulty_head(constant_head(ask.engine, 80));
  const Finished got = ask.run_one(ask.thinking(kQuestions[1], ThinkingStart::kFast,
                                                {.interval = 3, .max_switches = 1, .min_tokens = 0, .patience = 1}));
  const ThinkingRecord& record = *got.answers[0].thinking;
  ASSERT_GE(record.switches.size(), 1u);
  EXPECT_EQ(record.switches[0].to, ThinkingMode::kSlow);
  EXPECT_EQ(record.switches[0].at, 3);
  EXPECT_EQ(record.injected, std::ssize(ask.style.tags.fast_prefix) + std::ssize(ask.style.tags.open));
  EXPECT_NE(got.answers[0].text.find("<think>"), std::string::npos);
}

// Windows, thresholds and all: neither the batch nor preemption changes what is decided.
TEST(Thinking, BatchesAndPreemptionChangeNothing) {
  const ControllerSettings settings{.tau = 50,
                                    .tau_fast = 49,
                                    .tau_slow = 51,
                                    .interval = 4,
                                    .max_switches = 6,
                                    .min_tokens = 0,
                                    .cooldown = 5,
                                    .patience = 1};
  std::vector<Finished> wanted;
  std::int64_t switches = 0, preemptions = 0;
  for (const auto& [batch, kv_pages] :
       std::vector<std::pair<std::int64_t, std::int64_t>>{{1, 0}, {3, 0}, {32, 0}, {32, 22}}) {
    SCOPED_TRACE(batch);
    SCOPED_TRACE(kv_pages);
    EngineOptions options = tiny_reasoner();
    options.max_batch = batch;
    options.max_model_len = 640;
    options.chunk_tokens = batch == 3 ? 7 : 512;
    if (kv_pages > 0)
      options.kv_memory = static_cast<std::uint64_t>(kv_pages * 32 * 2 * kHeads * kHeadDim * kLayers) * sizeof(float);
    Asking ask(options);
    ask.engine.use_difficulty_head(random_head(ask.engine, 7));
    std::vector<Request> requests;
    for (const std::string& question : kQuestions) {
      Request request = ask.thinking(question, ThinkingStart::kDifficulty, settings);
      request.thinking->record = true;
      request.thinking->settings.total_budget = 200;
      requests.push_back(request);
      request.samples = 2;
      request.sampling = {.temperature = 0.8, .seed = 3};
      requests.push_back(request);
    }
    const std::vector<Finished> got = ask.run(requests);
    for (std::size_t i = 0; i < got.size(); ++i) {
      ASSERT_EQ(got[i].error, "");
      preemptions += got[i].preemptions;
      if (wanted.empty()) {
        for (const Answer& answer : got[i].answers) switches += std::ssize(answer.thinking->switches);
        continue;
      }
      SCOPED_TRACE(i);
      EXPECT_EQ(got[i].difficulty, wanted[i].difficulty);
      ASSERT_EQ(got[i].answers.size(), wanted[i].answers.size());
      for (std::size_t n = 0; n < got[i].answers.size(); ++n) {
        expect_same(got[i].answers[n], wanted[i].answers[n]);
        const ThinkingRecord &a = *got[i].answers[n].thinking, &b = *wanted[i].answers[n].thinking;
        ASSERT_EQ(a.looks.size(), b.looks.size());
        for (std::size_t l = 0; l < a.looks.size(); ++l) expect_same_bits(a.looks[l], b.looks[l], "look");
        ASSERT_EQ(a.switches.size(), b.switches.size());
        for (std::size_t s = 0; s < a.switches.size(); ++s) EXPECT_EQ(a.switches[s].at, b.switches[s].at);
        EXPECT_EQ(a.injected, b.injected);
      }
    }
    if (wanted.empty()) wanted = got;
  }
  EXPECT_GT(switches, 10) << "the head was to make them switch";
  EXPECT_GT(preemptions, 0) << "the pages were to be too few";
}

TEST(Thinking, BudgetsEndExactly) {
  Asking ask;
  ask.engine.use_difficulty_head(constant_head(ask.engine, 80));
  const auto sampled = [&](ThinkingStart start, const ControllerSettings& settings) {
    const Finished done = ask.run_one(ask.thinking(kQuestions[3], start, settings));
    EXPECT_EQ(done.answers.at(0).finish_reason, FinishReason::kLength);
    EXPECT_EQ(done.answers[0].thinking->processed(),
              std::ssize(done.answers[0].tokens) + std::ssize(done.prompt_suffix));
    return done.answers[0].thinking->sampled;
  };
  EXPECT_EQ(sampled(ThinkingStart::kFast, {.max_switches = 0, .fast_budget = 5}), 5);
  EXPECT_EQ(sampled(ThinkingStart::kSlow, {.max_switches = 0, .slow_budget = 17}), 17);
  EXPECT_EQ(sampled(ThinkingStart::kDifficulty, {.max_switches = 0, .slow_budget = 17}), 17);
  EXPECT_EQ(sampled(ThinkingStart::kSlow, {.max_switches = 0, .total_budget = 11}), 11);
  EXPECT_EQ(sampled(ThinkingStart::kSlow, {.max_switches = 0, .fast_budget = 4, .thinking_budget = 9}), 13);

  const Finished closed =
      ask.run_one(ask.thinking(kQuestions[0], ThinkingStart::kSlow, {.max_switches = 0, .thinking_budget = 9}));
  EXPECT_EQ(closed.answers[0].finish_reason, FinishReason::kStop);
  ASSERT_EQ(closed.answers[0].thinking->switches.size(), 1u);
  EXPECT_EQ(closed.answers[0].thinking->switches[0].at, 9);
  EXPECT_EQ(closed.answers[0].thinking->probes, 0) << "a budget needs no signal";
}

TEST(Thinking, TheContextEndsAnAnswerThatSwitches) {
  EngineOptions options = tiny_reasoner();
  options.max_model_len = 70;
  Asking ask(options);
  ask.engine.use_difficulty_head(constant_head(ask.engine, 80));
  const Finished done = ask.run_one(ask.thinking(
      kQuestions[1], ThinkingStart::kFast,
      {.tau_fast = 10, .tau_slow = 20, .interval = 2, .max_switches = 100, .min_tokens = 0, .patience = 1}));
  ASSERT_EQ(done.error, "");
  EXPECT_LE(done.prompt_tokens + std::ssize(done.prompt_suffix) + std::ssize(done.answers[0].tokens), 70 + 1);
}

TEST(Thinking, AnEndTagOfSeveralTokens) {
  Asking ask;
  const auto thought = ask.run_one(ask.plain(ask.rendered(kQuestions[0], true))).answers[0].tokens;
  Request request = ask.thinking(kQuestions[0], ThinkingStart::kSlow, {.max_switches = 0, .thinking_budget = 300});
  request.thinking->tags.end.assign(thought.begin() + 12, thought.begin() + 15);  // as if these were the tag
  const Finished done = ask.run_one(request);
  EXPECT_EQ(done.answers[0].tokens, thought);
  const ThinkingRecord& record = *done.answers[0].thinking;
  ASSERT_EQ(record.switches.size(), 1u);
  EXPECT_EQ(record.switches[0].to, ThinkingMode::kAnswer);
  EXPECT_EQ(record.switches[0].at, 15);
}

TEST(Thinking, OtherSignals) {
  for (const ThinkingSignal signal : {ThinkingSignal::kEntropy, ThinkingSignal::kKvCoe}) {
    SCOPED_TRACE(name(signal));
    Asking ask;
    Request request = ask.thinking(kQuestions[3], ThinkingStart::kSlow, {.interval = 5, .min_tokens = 0});
    request.thinking->signal = signal;
    request.thinking->dry_run = true;
    const Finished done = ask.run_one(request);
    ASSERT_EQ(done.error, "");
    const auto& looks = done.answers[0].thinking->looks;
    ASSERT_GT(looks.size(), 5u);
    std::size_t numbers = 0;
    for (const ThinkingLook& look : looks) numbers += std::isfinite(look.d);
    EXPECT_GT(numbers, looks.size() - 2);
    // The last look, against what scoring the tokens up to there says.
    Request prefix = ask.plain(ask.rendered(kQuestions[3], true));
    const auto& tokens = done.answers[0].tokens;
    const std::int64_t at = looks.back().at;
    prefix.response = std::vector(tokens.begin(), tokens.begin() + at + 1);  // the last one is not fed
    const Finished scored = ask.run_one(prefix);
    if (signal == ThinkingSignal::kKvCoe) {
      EXPECT_EQ(looks.back().d, -scored.answers[0].kv_coe->normalized_c);
    } else {
      Request before = prefix;
      before.response->resize(static_cast<std::size_t>(looks[looks.size() - 2].at));
      prefix.response->resize(static_cast<std::size_t>(at));
      const double all = ask.run_one(prefix).answers[0].prob->entropy_nats * static_cast<double>(at);
      const double first =
          ask.run_one(before).answers[0].prob->entropy_nats * static_cast<double>(before.response->size());
      EXPECT_NEAR(looks.back().d, (all - first) / 5 / std::numbers::ln2, 1e-9);
    }
  }
}

// The regressor in double precision, straight from METHOD.md F.1.
double reference_difficulty(const DifficultyHead& head, std::span<const float> features) {
  double d = static_cast<double>(head.b2[0]);
  for (std::size_t h = 0; h < head.b1.size(); ++h) {
    double sum = static_cast<double>(head.b1[h]);
    for (std::size_t j = 0; j < features.size(); ++j) {
      const double x = (static_cast<double>(features[j]) - static_cast<double>(head.mean[j])) /
                       static_cast<double>(head.deviation[j]);
      sum += static_cast<double>(head.w1[h * features.size() + j]) * x;
    }
    d += static_cast<double>(head.w2[h]) * std::max(sum, 0.0);
  }
  return d;
}

TEST(Difficulty, OfAPromptIsTheHeadOfItsWindow) {
  for (const std::int64_t positions : {std::int64_t{1}, std::int64_t{16}, std::int64_t{0}, std::int64_t{100'000}}) {
    SCOPED_TRACE(positions);
    Asking ask;
    const DifficultyHead head = random_head(ask.engine, 11, positions);
    ask.engine.use_difficulty_head(head);
    Request windows = ask.plain(ask.bare(kQuestions[2]));
    windows.scores = {};
    windows.prompt_only = true;
    windows.window = head.window;
    const auto prompt = std::ssize(windows.prompt);
    windows.window_ends = {prompt, 1, prompt};
    windows.difficulty = true;
    Request asked = ask.plain(ask.bare(kQuestions[2]));
    asked.difficulty = true;
    asked.stop.max_tokens = 1;
    Request behind = ask.thinking(kQuestions[2], ThinkingStart::kSlow, {.max_switches = 0, .slow_budget = 40});
    behind.difficulty = true;
    const auto done = ask.run({windows, asked, behind});
    const std::span<const float> features = done[0].answers[0].windows;
    const auto count = static_cast<std::size_t>(head.features());
    ASSERT_EQ(features.size(), 3 * count);
    EXPECT_TRUE(std::equal(features.begin(), features.begin() + static_cast<std::ptrdiff_t>(count),
                           features.end() - static_cast<std::ptrdiff_t>(count)));
    const double wanted = reference_difficulty(head, features.first(count));
    // f32 sums of 128 products of size 4 on 24 units of weight 4: a few thousand roundings of 2^-24.
    for (const Finished& one : done) EXPECT_NEAR(one.difficulty, wanted, 5e-3);
    EXPECT_EQ(done[0].difficulty, done[1].difficulty);
    EXPECT_EQ(done[0].difficulty, done[2].difficulty) << "the think tags behind the prompt are no part of it";
  }
}

TEST(Difficulty, WindowsOfAResponse) {
  Asking ask;
  const WindowSpec spec{
      .part = GaugePart::kV, .layers = {2, 5}, .positions = 4, .mean_over_positions = true, .mean_over_heads = true};
  const std::vector<std::int32_t> prompt = ask.bare(kQuestions[0]),
                                  response = ask.engine.tokenizer().encode("12+7=19\n19-4=15\n");
  std::vector<std::int32_t> whole = prompt;
  whole.insert(whole.end(), response.begin(), response.end());
  Request forced;
  forced.prompt = prompt;
  forced.response = response;
  forced.window = spec;
  Request cut = forced;
  for (std::int64_t end = std::ssize(prompt); end < std::ssize(whole); ++end) forced.window_ends.push_back(end);
  const std::vector<float> all = ask.run_one(forced).answers[0].windows;
  ASSERT_EQ(std::ssize(all), kHeadDim * std::ssize(forced.window_ends));
  for (std::size_t i = 0; i < forced.window_ends.size(); ++i) {  // the window as the last of a prompt of its own
    cut.response.reset();
    cut.prompt_only = true;
    cut.prompt.assign(whole.begin(), whole.begin() + forced.window_ends[i]);
    cut.window_ends = {forced.window_ends[i]};
    const std::vector<float> one = ask.run_one(cut).answers[0].windows;
    EXPECT_TRUE(std::equal(one.begin(), one.end(), all.begin() + static_cast<std::ptrdiff_t>(i) * kHeadDim)) << i;
  }
}

TEST(Difficulty, NothingAskedForCostsNothing) {
  Asking ask;
  ask.engine.use_difficulty_head(constant_head(ask.engine, 80));
  ask.run_one(ask.plain(ask.bare(kQuestions[0])));
  EXPECT_EQ(ask.engine.stats().difficulty_calls, 0);
}

TEST(Difficulty, ThatIsNoNumberEndsTheRowInWords) {
  EngineOptions options = tiny_reasoner();
  options.prefix_cache = false;
  Asking ask(options);
  ask.engine.use_difficulty_head(constant_head(ask.engine, std::numeric_limits<float>::quiet_NaN()));
  Request several = ask.thinking(kQuestions[0], ThinkingStart::kDifficulty, {});
  several.samples = 3;
  Request online = ask.thinking(kQuestions[0], ThinkingStart::kSlow, {.interval = 4, .min_tokens = 0});
  Request prompt = ask.plain(ask.bare(kQuestions[0]));
  prompt.difficulty = true;
  for (const Finished& done : ask.run({several, online, prompt}))
    EXPECT_EQ(done.error, "difficulty: not finite, numbers were needed; try --dtype f32");
  EXPECT_EQ(ask.engine.unfinished(), 0);
  EXPECT_EQ(ask.engine.stats().free_blocks, ask.engine.stats().blocks);
}

TEST(Difficulty, AHeadOfAnotherModelIsRefusedByName) {
  Asking ask;
  const auto refusal = [&](DifficultyHead head) {
    try {
      ask.engine.use_difficulty_head(head);
    } catch (const InputError& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  DifficultyHead other = constant_head(ask.engine, 50);
  other.model_hash = "0123";
  EXPECT_NE(refusal(other).find("0123"), std::string::npos) << refusal(other);
  other = constant_head(ask.engine, 50);
  other.model_layers = 28;
  EXPECT_NE(refusal(other).find("28"), std::string::npos) << refusal(other);
  EXPECT_EQ(refusal(constant_head(ask.engine, 50)), "accepted");
}

TEST(Thinking, RefusesWhatCannotBeRun) {
  Asking ask;
  const auto error = [&](Request request) { return ask.run_one(std::move(request)).error; };
  const auto has = [&](Request request, const char* words) {
    const std::string found = error(std::move(request));
    EXPECT_NE(found.find(words), std::string::npos) << "'" << found << "' without '" << words << "'";
  };
  Request request = ask.thinking(kQuestions[0], ThinkingStart::kDifficulty, {});
  has(request, "no head");
  Request asked = ask.plain(ask.bare(kQuestions[0]));
  asked.difficulty = true;
  has(asked, "no head");
  ask.engine.use_difficulty_head(constant_head(ask.engine, 50));
  EXPECT_EQ(error(request), "");
  const auto with = [&](auto change) {
    Request changed = request;
    change(changed, *changed.thinking);
    return changed;
  };
  has(with([](Request&, ThinkingSpec& s) { s.settings.interval = 0; }), "interval is 0");
  has(with([](Request&, ThinkingSpec& s) { s.settings.patience = 0; }), "patience is 0");
  has(with([](Request&, ThinkingSpec& s) { s.settings.tau_fast = 60; }), "tau is 50");
  has(with([](Request&, ThinkingSpec& s) { s.settings.tau_slow = 20; }), "tau_fast is 30");
  has(with([](Request&, ThinkingSpec& s) { s.settings.ema = 1; }), "ema is 1");
  has(with([](Request&, ThinkingSpec& s) { s.tags.close.clear(); }), "tag is empty");
  has(with([](Request&, ThinkingSpec& s) { s.tags.open = {4096}; }), "token 4096");
  has(with([](Request& r, ThinkingSpec&) { r.scores.coe = true; }), "coe");
  has(with([](Request& r, ThinkingSpec& s) {
        s.signal = ThinkingSignal::kKvCoe;
        r.scores.kv_coe = false;
      }),
      "kv-coe");
  has(with([](Request&, ThinkingSpec& s) { s.start = ThinkingStart::kPrompt; }), "dry runs");
  has(with([](Request& r, ThinkingSpec&) { r.response = {1}; }), "one to generate");
  Request window = asked;
  window.difficulty = false;
  window.window = WindowSpec{};
  has(window, "yet to be generated");
  window.prompt_only = true;
  window.scores = {};
  window.window_ends = {std::ssize(window.prompt) + 1};
  has(window, "window: ends at");
  window.window_ends = {1};
  window.window->layers = {6};
  has(window, "layer 6");
}

}  // namespace
}  // namespace kvgauge
