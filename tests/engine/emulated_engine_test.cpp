// The whole engine on the emulated device: the host side of the CUDA back end and its kernels, judged by the CPU back
// end's answers in f32.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "control/difficulty_head.h"
#include "core/json.h"
#include "emulator_control.h"
#include "engine/prompt.h"
#include "engine/think_tags.h"
#include "kvgauge/engine.h"
#include "kvgauge/error.h"
#include "loader/model_files.h"
#include "reference/lcg.h"
#include "support/paths.h"

namespace kvgauge {
namespace {

namespace emulator = cuda::emulator;

EngineOptions tiny(const std::string& device) {
  EngineOptions options;
  options.model = testing::repo_path("models/tiny-reasoner");
  options.device = device;
  options.dtype = "f32";
  options.threads = 1;
  return options;
}

std::vector<Request> questions(const Engine& engine, std::size_t count, std::int64_t max_tokens) {
  const Prompter prompter{.tokenizer = &engine.tokenizer(),
                          .chat_template = engine.chat_template(),
                          .bos_token = engine.files().bos_token(),
                          .eos_token = engine.files().eos_token()};
  std::vector<Request> requests;
  std::ifstream file(testing::repo_path("models/tiny-reasoner/data/test.jsonl"));
  for (std::string line; requests.size() < count && std::getline(file, line);) {
    const Json row = parse_json(line, "test.jsonl");
    OrderedJson messages = OrderedJson::array();
    messages.push_back({{"role", "user"}, {"content", row["question"].get<std::string>()}});
    Request request;
    request.prompt = prompter.tokens_of_chat(prompter.render(messages, nullptr, requests.size() % 2 == 1));
    request.stop.max_tokens = max_tokens;
    request.scores.kv_coe = request.scores.prob = true;
    requests.push_back(std::move(request));
  }
  return requests;
}

std::map<std::int64_t, Finished> run_all(Engine& engine, const std::vector<Request>& requests) {
  for (const Request& request : requests) engine.submit(request);
  std::map<std::int64_t, Finished> finished;
  while (engine.step())
    while (auto done = engine.next_finished()) finished.emplace(done->request, std::move(*done));
  while (auto done = engine.next_finished()) finished.emplace(done->request, std::move(*done));
  return finished;
}

std::vector<double> numbers(const Answer& answer) {
  const KvCoeScores& k = *answer.kv_coe;
  const ProbScores& p = *answer.prob;
  std::vector<double> all = {k.mean_dr,          k.mean_dtheta, k.end_dr,           k.end_dtheta,
                             k.polar_raw_c,      k.diff_r,      p.maxprob_official, p.ppl_official,
                             p.entropy_official, p.nll,         p.perplexity,       p.seq_logprob,
                             p.entropy_nats,     p.min_prob,    p.margin,           p.self_certainty};
  // Divided by the distance or the angle between the ends: comparable where those are not next to nothing (CLI.md).
  if (k.end_dr > 1e-3 && k.end_dtheta > 1e-3)
    for (const double x : {k.paper_r, k.paper_c, k.normalized_r, k.normalized_c, k.normalized_cart_c}) all.push_back(x);
  // Of layers, whose steps are far from nothing.
  if (answer.coe)
    for (const CoePair& pair : {answer.coe->official, answer.coe->fixed, answer.coe->response})
      if (std::isfinite(pair.r)) all.insert(all.end(), {pair.r, pair.c});
  return all;
}

void expect_the_same_answers(const std::map<std::int64_t, Finished>& got,
                             const std::map<std::int64_t, Finished>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (const auto& [number, finished] : want) {
    const Finished& other = got.at(number);
    ASSERT_EQ(other.error, "") << "question " << number;
    ASSERT_EQ(other.answers[0].tokens, finished.answers[0].tokens) << "question " << number;
    const std::vector<double> a = numbers(other.answers[0]), b = numbers(finished.answers[0]);
    for (std::size_t i = 0; i < b.size(); ++i)
      EXPECT_NEAR(a[i], b[i], 1e-4 * std::max(1.0, std::abs(b[i]))) << "question " << number << ", number " << i;
  }
}

class EmulatedEngine : public ::testing::Test {
 protected:
  void SetUp() override {
    emulator::reset();
    emulator::set_executor("", {});
    emulator::set_order(emulator::Order::kForward);
  }
  void TearDown() override {
    emulator::reset();
    emulator::set_device_count(1);
  }
};

TEST_F(EmulatedEngine, FiftyQuestionsGiveTheTokensAndScoresOfTheCpu) {
  Engine cpu(tiny("cpu"));
  std::vector<Request> requests = questions(cpu, 50, 160);
  for (std::size_t i = 0; i < 6; ++i) {  // and some long prompts that begin alike
    Request longer = requests[i];
    for (const std::size_t other : {12, 11, 10, 9})
      longer.prompt.insert(longer.prompt.begin(), requests[other].prompt.begin(), requests[other].prompt.end());
    longer.stop.max_tokens = 40;
    requests.push_back(std::move(longer));
  }
  const auto want = run_all(cpu, requests);
  EngineOptions options = tiny("emulated");
  options.step_tokens = 40;  // prompts arrive in chunks
  options.chunk_tokens = 17;
  options.max_batch = 24;
  options.max_model_len = 384;
  options.kv_memory = 16 * std::uint64_t{96 << 10};  // too few pages for so many answers
  Engine engine(options);
  emulator::reset_counters();
  const auto got = run_all(engine, requests);
  expect_the_same_answers(got, want);
  const EngineStats stats = engine.stats();
  EXPECT_GT(stats.preemptions, 0);
  EXPECT_GT(stats.cached_tokens, 0);
  EXPECT_GT(emulator::counters().graph_launches, stats.steps / 4);
  EXPECT_EQ(emulator::counters().pageable_copies, 0);
  EXPECT_EQ(emulator::last_fault(), std::nullopt);
}

// Difficulties, first modes and switches; and of the windows nothing but d reaches the host.
TEST_F(EmulatedEngine, ThinksWhereTheCpuThinks) {
  DifficultyHead head;
  head.window = {.layers = {1, 4}, .positions = 16};
  head.hidden = 24;
  pin_to_model(head, ModelFiles::open(tiny("cpu").model).config(), "");
  const auto features = static_cast<std::size_t>(head.features());
  testing::Lcg draw(5);
  const auto draws = [&](std::size_t count, double scale) {
    const std::vector<double> values = draw.values(count, &testing::Lcg::f24, scale);
    return std::vector<float>(values.begin(), values.end());
  };
  head.w1 = draws(24 * features, 0.02);
  head.b1 = draws(24, 1);
  head.w2 = draws(24, 4);
  head.b2 = {50};
  std::vector<std::map<std::int64_t, Finished>> answers;
  for (const char* const device : {"cpu", "emulated"}) {
    EngineOptions options = tiny(device);
    options.chunk_tokens = 17;
    options.max_batch = 8;
    options.max_model_len = 384;
    Engine engine(options);
    head.model_hash = engine.files().content_hash();
    engine.use_difficulty_head(head);
    std::vector<Request> requests = questions(engine, 8, 60);
    const Prompter prompter{
        .tokenizer = &engine.tokenizer(), .chat_template = engine.chat_template(), .bos_token = {}, .eos_token = {}};
    const ThinkStyle style = find_think_style(prompter, *engine.files().chat_template());
    for (std::size_t i = 0; i < requests.size(); ++i) {
      const auto& tag = i % 2 == 1 ? style.tags.open : style.tags.fast_prefix;
      requests[i].prompt.resize(requests[i].prompt.size() - tag.size());
      requests[i].thinking = ThinkingSpec{
          .record = true,
          .settings =
              {.tau_fast = 48, .tau_slow = 52, .interval = 6, .max_switches = 3, .min_tokens = 0, .patience = 1},
          .tags = style.tags};
    }
    emulator::reset_counters();
    answers.push_back(run_all(engine, requests));
    EXPECT_GT(engine.stats().difficulty_calls, 5);
    if (std::string(device) != "cpu") {
      EXPECT_EQ(emulator::counters().pageable_copies, 0);
      std::int64_t probes = 0, drawn = 0;
      for (const auto& [number, finished] : answers[1]) {
        probes += finished.answers.at(0).thinking->probes;
        drawn += finished.answers[0].thinking->sampled + std::ssize(finished.answers[0].thinking->switches);
      }
      // A token and its statistics for each draw, five sums a trajectory's end, and four bytes a look.
      EXPECT_LE(emulator::counters().device_to_host_bytes,
                drawn * static_cast<std::int64_t>(sizeof(TokenLogitStats) + 4) + 8 * 4096 + probes * 4);
    }
  }
  expect_the_same_answers(answers[1], answers[0]);
  std::size_t switches = 0;
  for (const auto& [number, want] : answers[0]) {
    const ThinkingRecord &a = *answers[1].at(number).answers[0].thinking, &b = *want.answers[0].thinking;
    EXPECT_NEAR(answers[1].at(number).difficulty, want.difficulty, 1e-4 * std::abs(want.difficulty));
    ASSERT_EQ(a.looks.size(), b.looks.size()) << "question " << number;
    for (std::size_t i = 0; i < b.looks.size(); ++i)
      EXPECT_NEAR(a.looks[i].d, b.looks[i].d, 1e-4 * std::abs(b.looks[i].d));
    ASSERT_EQ(a.switches.size(), b.switches.size()) << "question " << number;
    for (std::size_t i = 0; i < b.switches.size(); ++i) EXPECT_EQ(a.switches[i].at, b.switches[i].at);
    switches += b.switches.size();
  }
  EXPECT_GT(switches, 4u) << "the head was to make them switch";
  EXPECT_EQ(emulator::last_fault(), std::nullopt);
}

// Every group at once, several answers of a prompt, and a step that has hidden states to sum is not a replay.
TEST_F(EmulatedEngine, ScoresOfHiddenStatesAndOfSeveralAnswersAreThoseOfTheCpu) {
  Engine cpu(tiny("cpu"));
  std::vector<Request> requests = questions(cpu, 8, 60);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    ScoreSpec& scores = requests[i].scores;
    scores.coe = i % 3 != 2;
    scores.coe_final_norm = i % 2 == 0;
    if (i % 4 == 1) scores.part = GaugePart::kKV, scores.unrotated_keys = true;
    if (i % 4 == 2) scores.layers = {0, 2};
  }
  const auto first = run_all(cpu, requests);
  for (std::size_t i = 0; i < 3; ++i) {  // and the answers of three questions, judged as if they were those of one
    Request pairs = requests[i];
    pairs.response = first.at(0).answers[0].tokens;
    pairs.further_responses = {{.tokens = first.at(1).answers[0].tokens}, {.tokens = first.at(2).answers[0].tokens}};
    pairs.scores.eigenscore = true;
    requests.push_back(std::move(pairs));
  }
  Engine again(tiny("cpu"));
  const auto want = run_all(again, requests);
  EngineOptions options = tiny("emulated");
  options.step_tokens = 64;
  options.chunk_tokens = 23;
  Engine engine(options);
  emulator::reset_counters();
  const auto got = run_all(engine, requests);
  expect_the_same_answers(got, want);
  for (const auto& [number, finished] : want) {
    ASSERT_EQ(finished.answers[0].coe.has_value(), requests[static_cast<std::size_t>(number)].scores.coe);
    if (!finished.eigenscore) continue;
    const EigenScores& a = *got.at(number).eigenscore;
    EXPECT_NEAR(a.hidden, finished.eigenscore->hidden, 1e-4 * (1 + std::abs(finished.eigenscore->hidden)));
    EXPECT_NEAR(a.kv, finished.eigenscore->kv, 1e-4 * (1 + std::abs(finished.eigenscore->kv)));
  }
  EXPECT_EQ(emulator::counters().pageable_copies, 0);
  EXPECT_EQ(emulator::last_fault(), std::nullopt);
}

TEST_F(EmulatedEngine, LittleCrossesToTheHostAndNothingOfTheCache) {
  Engine engine(tiny("emulated"));
  std::vector<Request> requests = questions(engine, 8, 60);
  for (Request& request : requests) request.stop.ignore_eos = true;
  for (const Request& request : requests) engine.submit(request);
  for (int i = 0; i < 4; ++i) engine.step();  // prompts, and the graphs of this batch
  emulator::reset_counters();
  constexpr int kSteps = 32;  // every sequence takes one new page
  for (int i = 0; i < kSteps; ++i) engine.step();
  const emulator::Counters& c = emulator::counters();
  const double sequence_steps = kSteps * 8.0;
  const double up = static_cast<double>(c.device_to_host_bytes) / sequence_steps,
               down = static_cast<double>(c.host_to_device_bytes) / sequence_steps;
  RecordProperty("device_to_host_bytes", std::to_string(up));
  RecordProperty("host_to_device_bytes", std::to_string(down));
  EXPECT_LE(up + down, 256);
  // A token and its statistics, and no more: one page of the cache alone has thousands of bytes.
  EXPECT_EQ(up, 4 + sizeof(TokenLogitStats));
  EXPECT_EQ(c.synchronizations, kSteps);
  EXPECT_EQ(c.pageable_copies, 0);
  EXPECT_EQ(c.graph_launches, kSteps);
}

TEST_F(EmulatedEngine, WithGaugesOffNoGaugeKernelIsLaunched) {
  Engine engine(tiny("emulated"));
  std::vector<Request> requests = questions(engine, 4, 20);
  emulator::reset_counters();
  for (Request& request : requests) request.scores.kv_coe = request.scores.prob = false;
  run_all(engine, requests);
  const auto count = [](const char* part) {
    std::int64_t launches = 0;
    for (const auto& [kernel, times] : emulator::counters().launches)
      if (kernel.find(part) != std::string::npos) launches += times;
    return launches;
  };
  EXPECT_GT(count("sample"), 0);
  for (const char* const gauge : {"kv_trajectory", "trajectory_ends", "logits_stats", "kv_pool", "layer_states"})
    EXPECT_EQ(count(gauge), 0) << gauge;
}

// Two layers' means and, one call a layer, everything flattened; repeated in another batch with the same bits.
TEST_F(EmulatedEngine, EmbeddingsAreThoseOfTheCpu) {
  const auto vectors = [](const std::string& device, const EmbeddingSpec& spec, std::int64_t max_batch) {
    EngineOptions options = tiny(device);
    options.max_batch = max_batch;
    options.batch_invariant = true;
    Engine engine(options);
    std::vector<Request> requests = questions(engine, 6, 1);
    for (Request& request : requests) {
      request.scores = {};
      request.prompt_only = true;
      request.embedding = spec;
    }
    std::vector<std::vector<float>> out;
    for (const auto& [number, finished] : run_all(engine, requests)) {
      EXPECT_EQ(finished.error, "") << number;
      out.push_back(finished.answers.at(0).embedding);
    }
    return out;
  };
  EmbeddingSpec spec{.layers = {4, 5}, .normalize = true};
  for (const bool flatten : {false, true}) {
    if (flatten)
      spec = {.layers = {},
              .positions = EmbeddingPositions::kSum,
              .heads = EmbeddingHeads::kFlatten,
              .aggregate = EmbeddingLayers::kFlatten};
    const auto want = vectors("cpu", spec, 32), got = vectors("emulated", spec, 32);
    ASSERT_EQ(got.size(), 6u);
    for (std::size_t i = 0; i < want.size(); ++i) {
      ASSERT_EQ(got[i].size(), want[i].size());
      for (std::size_t j = 0; j < want[i].size(); ++j) {
        const double value = want[i][j];
        EXPECT_NEAR(got[i][j], value, 1e-4 * std::max(1.0, std::abs(value))) << "text " << i << ", value " << j;
      }
    }
    EXPECT_EQ(vectors("emulated", spec, 2), got);
  }
}

// Each call that can fail is made to fail once: the engine says so in one line and leaves nothing behind.
TEST_F(EmulatedEngine, AFailingCallIsADeviceErrorAndLeaksNothing) {
  for (const char* const call :
       {"cudaMalloc", "cudaMallocHost", "cudaStreamCreateWithFlags", "cudaEventCreateWithFlags", "cudaMemcpyAsync",
        "cudaLaunchKernel", "cudaGraphInstantiate", "cudaGraphLaunch", "cudaStreamBeginCapture", "cudaEventRecord",
        "cudaEventSynchronize", "cublasLtMatmul"}) {
    for (const int nth : {1, 2, 9}) {
      emulator::reset();
      emulator::fail_call(call, nth, cudaErrorMemoryAllocation);
      try {
        Engine engine(tiny("emulated"));
        run_all(engine, questions(engine, 3, 8));
      } catch (const DeviceError& error) {
        EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
      }
      EXPECT_EQ(emulator::live_allocations(), 0u) << call << " " << nth;
      EXPECT_EQ(emulator::live_handles(), 0u) << call << " " << nth;
    }
  }
}

TEST_F(EmulatedEngine, ABrokenKernelNamesItself) {
  emulator::fault_kernel("paged_attention", 5);
  Engine engine(tiny("emulated"));
  try {
    run_all(engine, questions(engine, 3, 8));
    FAIL() << "nothing was thrown";
  } catch (const DeviceError& error) {
    EXPECT_NE(std::string(error.what()).find("paged_attention"), std::string::npos) << error.what();
  }
}

TEST_F(EmulatedEngine, TooLittleDeviceMemorySaysWhatToLower) {
  emulator::set_memory_limit(std::size_t{40} << 20);
  EXPECT_THROW(Engine(tiny("emulated")), DeviceError);
  emulator::set_memory_limit(std::size_t{1} << 30);
}

TEST_F(EmulatedEngine, NoDriverAndAnOldOneAreSaidInWords) {
  const auto message = [] {
    try {
      Engine engine(tiny("emulated"));
    } catch (const DeviceError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  emulator::set_driver_version(0);
  EXPECT_NE(message().find("no NVIDIA driver"), std::string::npos) << message();
  emulator::set_driver_version(11080);
  EXPECT_NE(message().find("driver supports CUDA 11.8"), std::string::npos) << message();
  emulator::set_driver_version(13000);
  emulator::set_device_count(0);
  EXPECT_NE(message().find("no device"), std::string::npos) << message();
}

}  // namespace
}  // namespace kvgauge
