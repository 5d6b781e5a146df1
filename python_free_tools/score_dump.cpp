#include "score_dump.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include "cli.h"
#include "core/cat.h"
#include "core/mapped_file.h"
#include "cpu/cpu_backend.h"
#include "gauge/trajectory_gauge.h"
#include "kvgauge/error.h"
#include "loader/kv_dump.h"
#include "option_values.h"
#include "report/output_row.h"
#include "result_file.h"
#include "score/scores.h"

namespace kvgauge::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kEnding = ".safetensors";

std::vector<fs::path> files_of(const std::vector<std::string>& places) {
  std::vector<fs::path> files;
  for (const std::string& place : places) {
    if (!fs::exists(place)) throw InputError(cat("--kv: ", place, ": no such file or folder"));
    if (!fs::is_directory(place)) {
      files.emplace_back(place);
      continue;
    }
    std::vector<fs::path> inside;
    for (const fs::directory_entry& entry : fs::directory_iterator(place))
      if (entry.path().extension() == kEnding && entry.is_regular_file()) inside.push_back(entry.path());
    if (inside.empty())
      throw InputError(cat("--kv: ", place, ": found no ", kEnding, " files, at least one was needed"));
    std::sort(inside.begin(), inside.end());
    files.insert(files.end(), inside.begin(), inside.end());
  }
  return files;
}

/// What is gauged of one dump, and what the row calls it.
struct Stretch {
  PositionRange range;
  std::string name;
};

Stretch stretch_of(const KvDump& dump, const DumpJob& job, const std::string& where) {
  if (!job.span_given && dump.range)
    return {{dump.range->first, dump.range->second}, cat(dump.range->first, ":", dump.range->second)};
  std::string wanted = job.scores.span;
  if (!job.span_given) wanted = !dump.span.empty() ? dump.span : dump.prompt_tokens ? "response" : "all";
  for (const GaugeSpan span : {GaugeSpan::kResponse, GaugeSpan::kBoundary, GaugeSpan::kAll, GaugeSpan::kPrompt}) {
    if (wanted != name(span)) continue;
    if (span != GaugeSpan::kAll && !dump.prompt_tokens)
      throw FormatError(cat(where, ": the metadata has no 'prompt_tokens', which the span ", wanted,
                            " needs; add it, or give --span all"));
    return {span_positions(span, dump.prompt_tokens.value_or(1), dump.positions), wanted};
  }
  throw FormatError(cat(where, ": the span '", wanted, "' is not known"));  // the reader lets none other through
}

/// The row of one file.
OrderedJson gauged(Backend& backend, const fs::path& path, std::int64_t index, const DumpJob& job, ScoreSpec spec) {
  const MappedFile file(path);
  const std::string where = path.string();
  const KvDump dump = read_kv_dump(file.bytes(), where);
  const Stretch stretch = stretch_of(dump, job, where);
  spec.layers = parse_layers("--layers", job.scores.layers, dump.layers);
  if (spec.unrotated_keys && dump.inverse_frequencies.empty())
    throw FormatError(cat(where, ": found no tensor 'inverse_frequencies', which --k-rope pre needs"));

  // One block of all positions. Views carry pointers that the engine also writes through; gauges only read.
  std::vector<std::byte*> k, v;
  for (int layer = 0; layer < dump.layers; ++layer) {
    k.push_back(const_cast<std::byte*>(dump.k[static_cast<std::size_t>(layer)]));
    v.push_back(const_cast<std::byte*>(dump.v[static_cast<std::size_t>(layer)]));
  }
  const PagedKvView view{.k_base = k.data(),
                         .v_base = v.data(),
                         .dtype = dump.dtype,
                         .layers = dump.layers,
                         .kv_heads = dump.kv_heads,
                         .head_dim = dump.head_dim,
                         .page_tokens = static_cast<int>(dump.positions),
                         .block_stride = 0,
                         .head_stride = dump.positions * dump.head_dim,
                         .token_stride = dump.head_dim};
  const std::int32_t block = 0;
  const std::int64_t parts = spec.part == GaugePart::kKV ? 2 : 1;
  const auto state =
      backend.make_trajectory(parts * dump.kv_heads * dump.head_dim, stretch.range.end - stretch.range.begin);
  const TrajectoryItem item{
      .blocks = &block, .begin = stretch.range.begin, .end = stretch.range.end, .state = state.get()};
  backend.kv_trajectory(
      {.pages = view,
       .spec = {.part = spec.part,
                .layers = spec.layers,
                .inverse_frequencies = spec.unrotated_keys ? std::span<const double>(dump.inverse_frequencies)
                                                           : std::span<const double>()},
       .items = {&item, 1}});

  Answer answer;
  answer.kv_coe = kv_coe_scores(backend.read_trajectory(*state), {.alpha = spec.alpha, .beta = spec.beta});
  if (spec.keep_trajectory) {
    TrajectorySteps steps = backend.read_steps(*state);
    answer.dr = std::move(steps.dr);
    answer.dtheta = std::move(steps.dtheta);
  }
  OrderedJson row = OrderedJson::object();
  row["id"] = path.stem().string();
  row["index"] = index;
  row["usage"] = {{"positions", dump.positions}};
  if (dump.prompt_tokens) row["usage"]["prompt_tokens"] = *dump.prompt_tokens;
  row["scores"] = scores_json(answer, spec);
  row["scores"]["kv_coe"]["span"] = stretch.name;
  row["error"] = nullptr;
  return row;
}

}  // namespace

void check_dump_flags(const CLI::App& app) {
  constexpr std::array<std::string_view, 12> kMeant = {"--layers", "--k-rope",     "--alpha",   "--beta",
                                                       "--kv",     "--output",     "--scores",  "--span",
                                                       "--part",   "--trajectory", "--threads", "--quiet"};
  for (const CLI::Option* const option : app.get_options()) {
    const std::string flag = option->get_name();
    if (option->count() == 0 || std::find(kMeant.begin(), kMeant.end(), flag) != kMeant.end()) continue;
    throw UsageError(cat(flag, ": it says nothing about --kv, which reads finished caches without a model; drop it"));
  }
  if (app.count("--scores") == 0) return;
  if (const auto scores = app.get_option("--scores")->as<std::string>(); scores != "kv-coe")
    throw UsageError(
        cat("--scores: found '", scores, "', with --kv kv-coe was needed: a cache holds no probabilities"));
}

int score_dumps(const DumpJob& job) {
  ScoreOptions options = job.scores;
  options.scores = "kv-coe";
  const ScoreSpec spec = score_groups(options, AnswerCount::kAsRowsHave).spec;
  const std::vector<fs::path> files = files_of(job.places);
  const auto backend =
      make_cpu_backend({.threads = job.threads, .compute_dtype = DType::kF32, .isa = {}, .onednn = false});
  ResultFile out(job.output);
  std::int64_t index = 0;
  for (const fs::path& file : files) out.write(to_line(gauged(*backend, file, index++, job, spec)) + "\n");
  out.finish();
  return kDone;
}

}  // namespace kvgauge::cli
