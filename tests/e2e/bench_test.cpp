// Every benchmark in every format on the embedded model. What is looked at is fields and counts: times are a machine's.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include "core/cat.h"
#include "e2e/program.h"
#include "loader/model_writer.h"
#include "report/well_formed_html.h"

namespace kvgauge::testing {
namespace {

using Arguments = std::vector<std::string>;

Arguments bench(const std::string& name, const Arguments& more) {
  Arguments arguments = {"bench", name, "--quiet"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

OrderedJson json_of(const std::string& name, Arguments more) {
  more.insert(more.end(), {"--format", "json"});
  const Outcome outcome = kvgauge(bench(name, more));
  EXPECT_EQ(outcome.exit, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  return OrderedJson::parse(outcome.out, nullptr, false);
}

void expect_refusal(const std::string& name, const Arguments& more, int exit, const std::string& part) {
  const Outcome outcome = kvgauge(bench(name, more));
  EXPECT_EQ(outcome.exit, exit) << outcome.err;
  EXPECT_NE(outcome.err.find(part), std::string::npos) << "found: " << outcome.err << "needed: " << part;
  EXPECT_EQ(outcome.err.find('\n'), outcome.err.size() - 1) << "one line was needed: " << outcome.err;
  EXPECT_EQ(outcome.out, "");
}

struct Small {
  const char* name;
  Arguments arguments;
  std::size_t rows;
};
const std::vector<Small>& small() {
  static const std::vector<Small> all = {
      {"latency", {"-p", "8", "-n", "4", "-b", "1,2", "-d", "0,32", "-r", "2"}, 4},
      {"throughput",
       {"--num-prompts", "6", "-p", "8", "-n", "4", "--request-rate", "500,inf", "--prefix-len", "32"},
       2},
      {"overhead", {"-b", "1", "-p", "8", "-n", "4", "--pairs", "6", "--scores", "kv-coe"}, 3},
      {"memory", {"--context", "64,128", "--measure"}, 4},
      {"memory", {"--shape", "all", "--context", "4096"}, 8},
      {"kernels", {"--shape", "llama-3.1-8b", "--batch", "1,32"}, 30}};
  return all;
}

TEST(Bench, EveryFormatHasTheRowsAndTheMachine) {
  for (const Small& one : small()) {
    SCOPED_TRACE(one.name);
    const auto out = [&](const std::string& format) {
      Arguments arguments = one.arguments;
      arguments.insert(arguments.end(), {"--format", format});
      const Outcome outcome = kvgauge(bench(one.name, arguments));
      EXPECT_EQ(outcome.exit, 0) << outcome.err;
      return outcome.out;
    };
    const OrderedJson json = OrderedJson::parse(out("json"));
    EXPECT_EQ(json["benchmark"], one.name);
    EXPECT_EQ(json["complete"], true);
    ASSERT_EQ(json["rows"].size(), one.rows);
    for (const char* const field : {"cpu", "cores", "memory_bytes", "isa", "version", "commit", "build", "date"})
      EXPECT_TRUE(json["machine"].contains(field)) << field;
    const auto lines = rows_of(out("jsonl"));
    ASSERT_EQ(lines.size(), one.rows);
    EXPECT_EQ(lines[0]["machine"]["cpu"], json["machine"]["cpu"]);
    const std::string csv = out("csv");
    EXPECT_EQ(static_cast<std::size_t>(std::count(csv.begin(), csv.end(), '\n')), one.rows + 1);
    EXPECT_NE(csv.find(",machine_cpu,"), std::string::npos);
    const std::string md = out("md");
    EXPECT_NE(md.find("- cpu: "), std::string::npos);
    EXPECT_EQ(static_cast<std::size_t>(std::count(md.begin(), md.end(), '\n')) >= one.rows + 10, true);
    const std::string html = out("html");
    const WellFormed page(html);
    EXPECT_EQ(page.fault(), "");
    EXPECT_GE(page.tags().count("figure"), 1u);
  }
}

// Quantized weights are multiplied in their codes where a run would, and count with what those take.
TEST(Bench, KernelsMeasuresWeightsInTheirStoredTypes) {
  GgufWriter file = tiny_gguf("llama");
  for (const char* tensor_name : {"blk.1.attn_v.weight", "token_embd.weight"}) {
    GgufWriter::Tensor& tensor = file.find_tensor(tensor_name);
    tensor.type = 8;  // Q8_0: 34 bytes for 32 values
    tensor.data.assign(tensor.data.size() / 4 / 32 * 34, '\0');
  }
  const TempDir folder;
  const std::string path = folder.path() / "mixed.gguf";
  std::ofstream(path, std::ios::binary) << file.bytes();
  const auto bytes = [&](const char* dtype) {
    std::map<std::string, double> out;
    const OrderedJson json = json_of("kernels", {"--model", path, "--measure", "--context", "32", "--dtype", dtype});
    for (const OrderedJson& row : json["rows"]) {
      out[row["operation"]] = row["bytes"];
      EXPECT_GT(row["measured_us"], 0) << row["operation"];
    }
    return out;
  };
  auto in_codes = bytes("auto"), widened = bytes("f32");
  // one row of activations (32 numbers of the computing dtype) and of results (f32) beside panels of 64 features
  EXPECT_EQ(widened["linear head"], 320 * 32 * 4 + 32 * 4 + 4 * 300);
  const double element = (in_codes["linear attention_out"] - 4 * 32 * 2) / (64 * 32 + 32) / 2;  // two layers
  EXPECT_TRUE(element == 2 || element == 4) << element;
  EXPECT_EQ(in_codes["linear head"], 320 * 34 + 32 * element + 4 * 300);
  EXPECT_TRUE(in_codes.count("linear qkv (F32, F32, F32)") == 1 && in_codes.count("linear qkv (F32, F32, Q8_0)") == 1);
}

TEST(Bench, LatencyHasTheFieldsOfVllmBench) {
  const OrderedJson json = json_of("latency", {"-p", "8", "-n", "5", "-b", "1-2", "-r", "3", "--scores", "kv-coe"});
  EXPECT_EQ(json["machine"]["model"], "tiny-reasoner");
  EXPECT_EQ(json["machine"]["model_sha256"].get<std::string>().size(), 64u);
  EXPECT_EQ(json["machine"]["threads"], json["machine"]["cores"]);
  for (const OrderedJson& row : json["rows"]) {
    EXPECT_EQ(row["latencies"].size(), 3u);
    EXPECT_GT(row["avg_latency"], 0);
    EXPECT_TRUE(row["percentiles"].contains("99"));
    for (const char* const name : {"ttft", "tpot", "itl", "e2el"})
      for (const char* const statistic : {"mean", "median", "std", "p50", "p90", "p95", "p99"})
        EXPECT_TRUE(row[cat(statistic, "_", name, "_ms")].is_number()) << statistic << name;
    EXPECT_GT(row["mean_e2el_ms"], row["mean_ttft_ms"]);
    EXPECT_GT(row["decode_tok_s"], 0);
    EXPECT_GT(row["prefill_tok_s"], 0);
  }
  const OrderedJson single = json_of("latency", {"-p", "8", "-n", "1", "-b", "1", "-r", "1"})["rows"][0];
  EXPECT_TRUE(single["mean_tpot_ms"].is_null()) << "one token has no time per further token";
  EXPECT_TRUE(single["decode_tok_s"].is_null());
}

TEST(Bench, OverheadHasEveryPhaseModeAndField) {
  const OrderedJson json =
      json_of("overhead", {"-b", "2", "-d", "0,32", "-p", "8", "-n", "4", "--pairs", "6", "--warmup", "0", "--interval",
                           "2", "--scores", "kv-coe;kv-coe,prob;difficulty;coe", "--scores",
                           "second-pass;copy-kv;copy-new-kv;store-hidden"});
  std::size_t gauges = 0, alternatives = 0;
  for (const OrderedJson& row : json["rows"]) {
    const OrderedJson first = row;
    std::vector<std::string> fields;
    for (const auto& entry : first.items()) fields.push_back(entry.key());
    fields.resize(8);
    EXPECT_EQ(fields, Arguments({"phase", "batch", "depth", "scores", "off_tok_s", "on_tok_s", "ratio", "ratio_ci95"}));
    EXPECT_EQ(row["pairs"], 6);
    EXPECT_GT(row["off_tok_s"], 0);
    EXPECT_GT(row["ratio"], 0);
    EXPECT_LE(row["ratio_ci95"][0], row["ratio"]);
    EXPECT_GE(row["ratio_ci95"][1], row["ratio"]);
    // Two sequences: four steps each; prompts of 8; 8 in front of what is scored, whose last token is not fed.
    EXPECT_EQ(row["tokens"], row["phase"] == "decode" ? 8 : row["phase"] == "prefill" ? 16 : 30);
    ++(row["kind"] == "gauges" ? gauges : alternatives);
  }
  EXPECT_EQ(gauges, 3u * 2 * 4);
  EXPECT_EQ(alternatives, 2u * 4);
  const OrderedJson few =
      json_of("overhead", {"-b", "1", "-n", "2", "--pairs", "2", "--phase", "decode", "--scores", "kv-coe"});
  EXPECT_TRUE(few["rows"][0]["ratio_ci95"][0].is_null()) << "two pairs have no 95 % interval";
}

TEST(Bench, ThroughputCountsTokensAndSharesPrefixes) {
  const OrderedJson json =
      json_of("throughput", {"--num-prompts", "12", "-p", "16", "-n", "4", "--prefix-len", "64", "--max-concurrency",
                             "2,0", "--repeats", "2", "--random-range-ratio", "0"});
  ASSERT_EQ(json["rows"].size(), 2u);
  for (const OrderedJson& row : json["rows"]) {
    EXPECT_EQ(row["completed"], 24);
    EXPECT_EQ(row["failed"], 0);
    EXPECT_EQ(row["total_input_tokens"], 24 * 80);
    EXPECT_EQ(row["total_output_tokens"], 24 * 4);
    EXPECT_NEAR(row["output_throughput"].get<double>() * row["duration"].get<double>(), 96, 1e-6);
    EXPECT_GT(row["request_throughput"], 0);
    EXPECT_GT(row["max_output_tokens_per_s"], 0);
  }
  EXPECT_EQ(json["rows"][0]["max_concurrent_requests"], 2);
  // Two at a time: the first two of each repeat compute the prefix of 64 of 80 tokens, ten find it.
  EXPECT_NEAR(json["rows"][0]["prefix_hit_share"].get<double>(), 0.8 * 10 / 12, 1e-9);
  EXPECT_EQ(json["rows"][1]["max_concurrent_requests"], 12);
  const OrderedJson mixed =
      json_of("throughput", {"--num-prompts", "8", "-p", "20", "-n", "6", "--random-range-ratio", "0.5",
                             "--ramp-up-strategy", "linear", "--ramp-up-start-rps", "200", "--ramp-up-end-rps", "400",
                             "--no-prefix-cache", "--scores", "none"});
  const std::int64_t input = mixed["rows"][0]["total_input_tokens"];
  EXPECT_GE(input, 80);
  EXPECT_LE(input, 240);
  EXPECT_EQ(mixed["rows"][0]["prefix_hit_share"], 0);
}

TEST(Bench, MemoryIsThePapersFigureAndWhatTheEngineTakes) {
  const OrderedJson figure =
      json_of("memory", {"--shape", "qwen3-32b", "--context", "131072", "--memory", "200GiB"})["rows"][0];
  EXPECT_NEAR(figure["factor"].get<double>(), 1.86, 0.005);
  EXPECT_NEAR(figure["total_bytes"].get<double>() / 1e9, 99.89, 0.01);
  EXPECT_EQ(figure["sequences"], 4);
  EXPECT_EQ(figure["sequences_with_hidden"], 1);
  const OrderedJson rows = json_of("memory", {"--context", "512", "-b", "4", "--measure", "--dtype", "f32"})["rows"];
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0]["source"], "formula");
  EXPECT_EQ(rows[1]["source"], "measured");
  EXPECT_EQ(rows[0]["kv_bytes"], rows[1]["kv_bytes"]) << "the arena is what the formula says";
  // Packed products and one more copy of the embeddings, against the parameters.
  const double ratio = rows[1]["weights_bytes"].get<double>() / rows[0]["weights_bytes"].get<double>();
  EXPECT_GT(ratio, 1);
  EXPECT_LT(ratio, 1.5);
  EXPECT_GT(rows[1]["resident_gauged_bytes"], rows[1]["kv_bytes"]);
}

TEST(Bench, ComparesWithAnEarlierResult) {
  const TempDir dir;
  const std::string old = (dir.path() / "old.json").string();
  const Arguments work = {"-p", "8", "-n", "4", "-b", "1,2", "-r", "1"};
  Arguments first = work, second = work;
  first.insert(first.end(), {"--format", "json", "--output", old});
  EXPECT_EQ(kvgauge(bench("latency", first)).exit, 0);
  second.insert(second.end(), {"--compare", old, "--threads", "1"});
  const OrderedJson comparison = json_of("latency", second)["comparison"];
  EXPECT_EQ(comparison["rows"].size(), 2u);
  EXPECT_EQ(comparison["only_now"], 0);
  EXPECT_GT(comparison["rows"][0]["median_latency_ratio"], 0);
  EXPECT_NE(comparison["differences"].dump().find("threads: "), std::string::npos);
  expect_refusal("memory", {"--shape", "qwen3-8b", "--compare", old}, 3, "one of the benchmark 'latency'");
  expect_refusal("latency", {"--compare", (dir.path() / "none").string()}, 3, "--compare");
  write_file(old, "{");
  expect_refusal("latency", {"--compare", old}, 3, "old.json");
}

TEST(Bench, ASignalKeepsWhatWasMeasured) {
  const TempDir dir;
  const std::string out = (dir.path() / "out.json").string();
  Program program(bench("overhead", {"--phase", "decode", "-b", "1", "-n", "8", "--pairs", "1000000", "--scores",
                                     "kv-coe", "--format", "json", "--output", out}));
  std::this_thread::sleep_for(std::chrono::seconds(3));
  program.signal(SIGINT);
  const Outcome outcome = program.wait();
  EXPECT_EQ(outcome.exit, 130) << outcome.err;
  const OrderedJson json = OrderedJson::parse(read_file(out));
  EXPECT_EQ(json["complete"], false);
  ASSERT_EQ(json["rows"].size(), 1u);
  EXPECT_GE(json["rows"][0]["pairs"], 6);
}

TEST(Bench, RefusesBeforeTheModelIsLoaded) {
  expect_refusal("latency", {"-b", "0"}, 2, "--batch: found '0', values from 1");
  expect_refusal("latency", {"-p", "1-x"}, 2, "--n-prompt: found '1-x', a list such as");
  expect_refusal("latency", {"-p", "4096"}, 2, "the model's context is 1024");
  expect_refusal("latency", {"--scores", "magic"}, 2, "--scores: found 'magic'");
  expect_refusal("latency", {"--batchh", "1"}, 2, "did you mean --batch?");
  expect_refusal("latency", {"--format", "sql"}, 2, "--format: found 'sql'");
  expect_refusal("latency", {"--model", "/nonexistent"}, 3, "no such file");
  expect_refusal("overhead", {"--phase", "train"}, 2, "--phase: found 'train'");
  expect_refusal("overhead", {"--scores", "kv-coe,copy-kv"}, 2, "'copy-kv' is measured by itself");
  expect_refusal("overhead", {"--scores", "kv-coe;"}, 2, "--scores: found ''");
  expect_refusal("overhead", {"--phase", "prefill", "--scores", "copy-kv"}, 2, "--phase: no decode");
  expect_refusal("overhead", {"-n", "15"}, 2, "--n-gen: 15 decode steps see no look");
  expect_refusal("overhead", {"-p", "1", "--phase", "score", "-b", "1", "--scores", "kv-coe"}, 2,
                 "leaves kv-coe nothing to read");
  expect_refusal("overhead", {"--difficulty", "x", "--scores", "kv-coe"}, 2, "--difficulty: no list");
  expect_refusal("throughput", {"--request-rate", "fast"}, 2, "--request-rate: found 'fast'");
  expect_refusal("throughput", {"--burstiness", "2"}, 2, "--burstiness");
  expect_refusal("throughput", {"--ramp-up-strategy", "linear"}, 2, "needs both");
  expect_refusal("throughput", {"--ramp-up-end-rps", "2"}, 2, "there is no --ramp-up-strategy");
  expect_refusal("throughput", {"-p", "900", "-n", "200"}, 2, "the model's context is 1024");
  expect_refusal("memory", {"--shape", "qwen3-8b", "--model", "x"}, 2, "--shape: --model");
  expect_refusal("memory", {"--shape", "qwen3-8b", "--measure"}, 2, "--measure");
  expect_refusal("memory", {"--shape", "gpt-5"}, 2, "--shape: found 'gpt-5'");
  expect_refusal("memory", {"--measure"}, 2, "--context: 4096 cannot be measured");
  for (const char* const name : {"latency", "throughput", "overhead", "memory", "kernels"}) {
    const Outcome help = kvgauge({"bench", name, "--help"});
    EXPECT_EQ(help.exit, 0);
    EXPECT_NE(help.out.find("Examples:"), std::string::npos) << name;
  }
}

}  // namespace
}  // namespace kvgauge::testing
