// A request whose numbers are not finite gets an `error`; its neighbours in the batch do not notice. The numbers are
// broken in the embedding of one token, so that its hidden states, and with them its keys, values and logits, are NaN.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "core/json.h"
#include "engine/open_backend.h"
#include "kvgauge/engine.h"
#include "loader/model_config.h"
#include "support/paths.h"

namespace kvgauge {
namespace {

constexpr std::int32_t kBrokenToken = 11;

// The tiny Llama 3.1 (untied head) with a row of 0xff bytes, NaN in every float type, in its embedding table.
void write_broken_model(const std::filesystem::path& folder) {
  std::filesystem::copy(testing::repo_path("tests/golden/models/llama31"), folder,
                        std::filesystem::copy_options::recursive);
  std::fstream file(folder / "model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
  std::uint64_t header_bytes = 0;
  file.read(reinterpret_cast<char*>(&header_bytes), sizeof header_bytes);
  std::string header(header_bytes, '\0');
  file.read(header.data(), static_cast<std::streamsize>(header_bytes));
  const Json table = parse_json(header, "header")["model.embed_tokens.weight"];
  const auto begin = table["data_offsets"][0].get<std::uint64_t>(), end = table["data_offsets"][1].get<std::uint64_t>();
  const std::uint64_t row = (end - begin) / table["shape"][0].get<std::uint64_t>();
  file.seekp(static_cast<std::streamoff>(sizeof header_bytes + header_bytes + begin + row * kBrokenToken));
  const std::string broken(row, '\xff');
  file.write(broken.data(), static_cast<std::streamsize>(row));
  ASSERT_TRUE(file.good());
}

std::vector<Finished> run(Engine& engine, const std::vector<std::vector<std::int32_t>>& prompts) {
  for (const auto& prompt : prompts) {
    Request request;
    request.prompt = prompt;
    request.stop.max_tokens = 12;
    request.stop.ignore_eos = true;
    request.scores.kv_coe = request.scores.prob = true;
    engine.submit(std::move(request));
  }
  std::vector<Finished> finished(prompts.size());
  while (engine.step())
    while (auto done = engine.next_finished()) finished[static_cast<std::size_t>(done->request)] = std::move(*done);
  return finished;
}

class NotFinite : public ::testing::TestWithParam<const char*> {};

TEST_P(NotFinite, OneRowGetsAnErrorAndTheOthersFinish) {
  const testing::TempDir temporary;
  const auto folder = temporary.path() / "model";
  write_broken_model(folder);
  for (const char* const dtype : {"f32", "bf16"}) {
    EngineOptions options;
    options.model = folder;
    options.device = GetParam();
    options.dtype = dtype;
    options.batch_invariant = true;  // the neighbours' bits can then be compared with a run without the broken row
    options.max_model_len = 128;
    const std::vector<std::int32_t> first = {5, 6, 7, 8, 9}, last = {40, 41, 42};
    std::vector<std::int32_t> broken(50, 3);
    broken[20] = kBrokenToken;
    Engine alone(options), together(options);
    const auto want = run(alone, {first, last});
    const auto got = run(together, {first, broken, last});
    for (const Finished& finished : want)
      for (const std::int32_t token : finished.answers[0].tokens)
        ASSERT_NE(token, kBrokenToken) << "pick another token";
    EXPECT_NE(got[1].error.find("not finite"), std::string::npos) << got[1].error;
    for (const auto& [index, other] : {std::pair{0, 0}, std::pair{2, 1}}) {
      const Finished &a = got[static_cast<std::size_t>(index)], &b = want[static_cast<std::size_t>(other)];
      EXPECT_EQ(a.error, "");
      EXPECT_EQ(a.answers[0].tokens, b.answers[0].tokens);
      EXPECT_EQ(a.answers[0].prob->nll, b.answers[0].prob->nll);
      EXPECT_EQ(a.answers[0].kv_coe->mean_dr, b.answers[0].kv_coe->mean_dr);
    }
  }
}

std::vector<const char*> devices() {
  if (known_devices().find("emulated") == std::string::npos) return {"cpu"};
  return {"cpu", "emulated"};
}
INSTANTIATE_TEST_SUITE_P(Devices, NotFinite, ::testing::ValuesIn(devices()),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace kvgauge
