// `score --kv`: caches that another stack exported.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "capi/past_key_values.h"
#include "e2e/program.h"

namespace kvgauge::testing {
namespace {

std::string dump_of(const Json& one) {
  return past_key_values(one["file"].get<std::string>() + ".safetensors").string();
}

double number_at(const OrderedJson& gauge, const std::string& key) {
  const std::size_t dash = key.rfind('_');
  const std::string tail = key.substr(dash + 1);
  const bool variant = tail == "r" || tail == "c";
  const OrderedJson& value = variant ? gauge.at(key.substr(0, dash)).at(tail) : gauge.at(key);
  return value.is_null() ? std::nan("") : value.get<double>();
}

TEST(ScoreDump, PastKeyValuesHaveTheMethodsNumbers) {
  const Json golden = past_key_values_scores();
  std::vector<std::string> files;
  for (const Json& one : golden["dumps"]) files.push_back(dump_of(one));
  for (const char* const part : {"v", "k", "kv"})
    for (const char* const span : {"response", "boundary", "all", "prompt"}) {
      std::vector<std::string> arguments = {"score", "--part", part, "--threads", "2", "--kv"};
      arguments.insert(arguments.end(), files.begin(), files.end());
      if (std::string(span) != "response") arguments.insert(arguments.end(), {"--span", span});
      const Outcome outcome = kvgauge(arguments);
      ASSERT_EQ(outcome.exit, 0) << outcome.err;
      const auto rows = rows_of(outcome.out);
      ASSERT_EQ(rows.size(), golden["dumps"].size());
      for (std::size_t i = 0; i < rows.size(); ++i) {
        const Json& one = golden["dumps"][i];
        EXPECT_EQ(rows[i]["id"], one["file"].get<std::string>());
        EXPECT_EQ(rows[i]["index"], static_cast<std::int64_t>(i));
        EXPECT_EQ(rows[i]["usage"]["positions"], one["positions"].get<std::int64_t>());
        EXPECT_EQ(rows[i]["usage"]["prompt_tokens"], one["prompt_tokens"].get<std::int64_t>());
        const OrderedJson& gauge = rows[i]["scores"]["kv_coe"];
        EXPECT_EQ(gauge["part"], part);
        EXPECT_EQ(gauge["span"], span);
        for (const Json& want : one["cases"]) {
          if (want["part"] != part || want["span"] != span || want["k_rope"] != "post" || want.contains("layers"))
            continue;
          EXPECT_EQ(gauge["tokens"], want["tokens"].get<std::int64_t>());
          EXPECT_EQ(gauge["valid"], want["valid"].get<bool>());
          expect_scores(
              want, [&](const char* key) { return number_at(gauge, key); },
              one["file"].get<std::string>() + " " + part + " " + span);
        }
      }
    }
}

TEST(ScoreDump, TakesLayersAndKeysBeforeRope) {
  const Json golden = past_key_values_scores();
  for (const std::size_t i : {std::size_t{1}, std::size_t{12}, std::size_t{33}, std::size_t{49}}) {
    const Json& one = golden["dumps"][i];
    for (const Json& want : one["cases"]) {
      if (want["k_rope"] != "pre") continue;
      std::vector<std::string> arguments = {"score",  "--kv",       dump_of(one), "--k-rope",  "pre",
                                            "--part", want["part"], "--span",     want["span"]};
      if (want.contains("layers")) {
        const auto layers = want["layers"].get<std::vector<int>>();
        arguments.insert(arguments.end(), {"--layers", std::to_string(layers[0]) + "," + std::to_string(layers[1])});
      }
      const Outcome outcome = kvgauge(arguments);
      ASSERT_EQ(outcome.exit, 0) << outcome.err;
      const OrderedJson gauge = rows_of(outcome.out)[0]["scores"]["kv_coe"];
      EXPECT_EQ(gauge["k_rope"], "pre");
      EXPECT_EQ(gauge.contains("layers"), want.contains("layers"));
      expect_scores(
          want, [&](const char* key) { return number_at(gauge, key); }, one["file"].get<std::string>());
    }
  }
}

TEST(ScoreDump, ReadsFoldersAndWritesFilesAndTrajectories) {
  TempDir dir;
  const Json golden = past_key_values_scores();
  for (const int i : {30, 2, 11})
    std::filesystem::copy(dump_of(golden["dumps"][static_cast<std::size_t>(i)]), dir.path());
  write_file(dir.path() / "notes.txt", "not a dump");
  const std::string out = (dir.path() / "scores.jsonl").string();
  const Outcome outcome =
      kvgauge({"score", "--kv", dir.path().string(), "--output", out, "--trajectory", "--span", "all"});
  ASSERT_EQ(outcome.exit, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  const auto rows = rows_in(out);
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_TRUE(std::is_sorted(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a["id"] < b["id"]; }));
  for (const OrderedJson& row : rows) {
    const OrderedJson& gauge = row["scores"]["kv_coe"];
    EXPECT_EQ(gauge["tokens"], row["usage"]["positions"]);
    EXPECT_EQ(gauge["dr"].size() + 1, gauge["tokens"].get<std::size_t>());
    EXPECT_EQ(gauge["dtheta"].size(), gauge["dr"].size());
  }
}

// What our own engine says of the same tokens: its cache is f32, the dump transformers' f32.
TEST(ScoreDump, AgreesWithOurEngineOnTheSameTokens) {
  const Json golden = past_key_values_scores();
  TempDir dir;
  const Json* found = nullptr;
  for (const Json& one : golden["dumps"])
    if (one["file"] == "tiny-reasoner_00_f32") found = &one;
  ASSERT_NE(found, nullptr);
  const auto ids = (*found)["ids"].get<std::vector<std::int32_t>>();
  const auto prompt = (*found)["prompt_tokens"].get<std::ptrdiff_t>();
  std::vector<std::int32_t> answer(ids.begin() + prompt, ids.end());
  answer.push_back(0);  // any token: the last one never enters the cache
  const std::string in = (dir.path() / "in.jsonl").string();
  write_file(in,
             Json{{"prompt_ids", std::vector<std::int32_t>(ids.begin(), ids.begin() + prompt)}, {"output_ids", answer}}
                     .dump() +
                 "\n");
  for (const char* const part : {"v", "k", "kv"}) {
    const Outcome ours =
        kvgauge({"score", "--input", in, "--dtype", "f32", "--scores", "kv-coe", "--part", part, "--quiet"});
    ASSERT_EQ(ours.exit, 0) << ours.err;
    const Outcome theirs = kvgauge({"score", "--kv", dump_of(*found), "--part", part});
    ASSERT_EQ(theirs.exit, 0) << theirs.err;
    const OrderedJson a = rows_of(ours.out)[0]["scores"]["kv_coe"], b = rows_of(theirs.out)[0]["scores"]["kv_coe"];
    EXPECT_EQ(a["tokens"], b["tokens"]);
    for (const char* const key : {"paper_r", "paper_c", "normalized_c", "normalized_cart_c", "polar_raw_c", "mean_dr",
                                  "mean_dtheta", "end_dr", "end_dtheta"})
      EXPECT_NEAR(number_at(a, key), number_at(b, key), 1e-4 * std::abs(number_at(b, key))) << part << " " << key;
  }
}

TEST(ScoreDump, RefusesWhatItCannotDo) {
  const std::string dump = past_key_values("qwen2_00_f32.safetensors").string();
  const auto expect = [](std::vector<std::string> arguments, int exit, const std::string& message) {
    arguments.insert(arguments.begin(), "score");
    const Outcome outcome = kvgauge(arguments);
    EXPECT_EQ(outcome.exit, exit) << message;
    EXPECT_NE(outcome.err.find(message), std::string::npos) << outcome.err;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    EXPECT_EQ(outcome.out, "");
  };
  expect({"--kv", dump, "--model", "x"}, 2, "--model: it says nothing about --kv");
  expect({"--kv", dump, "--input", "x"}, 2, "--input: it says nothing about --kv");
  expect({"--kv", dump, "--device", "cpu"}, 2, "--device");
  expect({"--kv", dump, "--output-ids"}, 2, "--output-ids");
  expect({"--kv", dump, "--scores", "prob"}, 2, "--scores: found 'prob'");
  expect({"--kv", dump, "--layers", "0,9"}, 2, "--layers");
  expect({"--kv", dump, "--k-rope", "pre"}, 2, "--k-rope: 'pre' is about keys");
  expect({"--kv", repo_path("tests/fuzz/corpus/kv_dump/range.safetensors").string(), "--k-rope", "pre", "--part", "k"},
         3, "found no tensor 'inverse_frequencies', which --k-rope pre needs");
  expect({"--kv", "nowhere.safetensors"}, 3, "nowhere.safetensors: no such file");
  TempDir dir;
  expect({"--kv", dir.path().string()}, 3, "found no .safetensors files");
  const std::string broken = (dir.path() / "broken.safetensors").string();
  write_file(broken, read_file(dump).substr(0, 400));
  expect({"--kv", broken}, 3, "broken.safetensors: header length");
  const std::string other = repo_path("tests/golden/models/qwen2/model.safetensors").string();
  expect({"--kv", other}, 3, "is not known, layers.N.k, layers.N.v and inverse_frequencies were needed");
  const std::string whole = repo_path("tests/fuzz/corpus/kv_dump/range.safetensors").string();
  expect({"--kv", whole, "--span", "response"}, 3, "the metadata has no 'prompt_tokens'");
}

TEST(ScoreDump, TakesARangeFromTheMetadata) {
  const Outcome outcome = kvgauge({"score", "--kv", repo_path("tests/fuzz/corpus/kv_dump/range.safetensors").string()});
  ASSERT_EQ(outcome.exit, 0) << outcome.err;
  const auto rows = rows_of(outcome.out);
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0]["scores"]["kv_coe"]["span"], "1:3");
  EXPECT_EQ(rows[0]["scores"]["kv_coe"]["tokens"], 2);
}

}  // namespace
}  // namespace kvgauge::testing
