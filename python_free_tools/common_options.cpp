#include "common_options.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>

#include "core/cat.h"
#include "core/printable.h"
#include "engine/open_backend.h"
#include "kvgauge/error.h"
#include "loader/model_files.h"
#include "option_values.h"
#include "report/build_info.h"

namespace kvgauge::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kEmbeddedModel = "tiny-reasoner";
constexpr const char* kEmbedPrefix = "--embed-";
constexpr const char* kGroups = "kv-coe, prob, coe, eigenscore, semantic-entropy";
GaugePart part_of(const std::string& text) {
  return text == "v" ? GaugePart::kV : text == "k" ? GaugePart::kK : GaugePart::kKV;
}

GaugeSpan span_of(const std::string& text) {
  if (text == "boundary") return GaugeSpan::kBoundary;
  if (text == "all") return GaugeSpan::kAll;
  return text == "prompt" ? GaugeSpan::kPrompt : GaugeSpan::kResponse;
}

void turn_on(ScoreGroups& groups, const std::string& group, AnswerCount answers) {
  const bool compares = group == "eigenscore" || group == "semantic-entropy";
  if (compares && answers == AnswerCount::kOne)
    throw UsageError(
        cat("--scores: the group '", group, "' compares a question's answers, --n is 1; give --n 2 or more"));
  if (group == "semantic-entropy" && answers == AnswerCount::kAsRowsHave)
    throw UsageError(
        "--scores: the group 'semantic-entropy' is of the texts that `kvgauge run --n` samples; ask for it there");
  if (group == "kv-coe")
    groups.spec.kv_coe = true;
  else if (group == "prob")
    groups.spec.prob = true;
  else if (group == "coe")
    groups.spec.coe = true;
  else if (group == "eigenscore")
    groups.spec.eigenscore = true;
  else if (group == "semantic-entropy")
    groups.semantic_entropy = groups.spec.prob = true;  // it weighs the answers by their probabilities
  else if (group == "difficulty")
    throw UsageError(cat("--scores: the group 'difficulty' is not in this version, it has: ", kGroups));
  else
    throw UsageError(cat("--scores: found '", printable(group), "', all, none, or a list of ", kGroups, " was needed"));
}

// Flags that say how a group is computed need the group.
void check_score_flags(const ScoreOptions& o, const ScoreSpec& spec) {
  const ScoreOptions defaults;
  const auto need = [](bool given, const char* flag, bool on, const char* groups) {
    if (given && !on) throw UsageError(cat(flag, ": the group ", groups, " is off; add it to --scores"));
  };
  need(o.trajectory, "--trajectory", spec.kv_coe, "kv-coe");
  need(o.span != defaults.span, "--span", spec.kv_coe || o.embed, "kv-coe");
  need(o.part != defaults.part, "--part", spec.kv_coe, "kv-coe");
  need(o.k_rope != defaults.k_rope, "--k-rope", spec.kv_coe, "kv-coe");
  need(o.alpha != defaults.alpha, "--alpha", spec.kv_coe, "kv-coe");
  need(o.beta != defaults.beta, "--beta", spec.kv_coe, "kv-coe");
  need(o.layers != defaults.layers, "--layers", spec.kv_coe || spec.eigenscore, "kv-coe (or eigenscore)");
  need(o.coe_final_norm != defaults.coe_final_norm, "--coe-final-norm", spec.coe, "coe");
  if (o.k_rope == "pre" && o.part == "v")
    throw UsageError("--k-rope: 'pre' is about keys, --part is v, which RoPE does not turn; give --part k or kv");
  parse_layers("--layers", o.layers, 0);
}

}  // namespace

void add_compute_options(CLI::App& app, ComputeOptions& o) {
  add_text(app, "--model", o.model, "PATH", "Hugging Face folder or .gguf file; left out: the embedded tiny-reasoner");
  add_text(app, "--device", o.device, known_devices(), "where to compute; auto: cuda if a device works, else cpu");
  add_choice(app, "--dtype", o.dtype, {"auto", "bf16", "f32"},
             "of products and KV pages; auto: bf16 where the processor has it");
  add_count(app, "--threads", o.threads, 1, 4096, "processor threads; left out: all cores");
}

void add_model_options(CLI::App& app, ModelOptions& o) {
  add_compute_options(app, o);
  add_count(app, "--max-batch", o.max_batch, 1, 65536, "sequences computed at once (32)");
  add_count(app, "--max-model-len", o.max_model_len, 1, kMany,
            "longest prompt and answer in tokens; left out: the model's context");
  add_bytes(app, "--kv-memory", o.kv_memory, "memory for KV pages, e.g. 4GiB");
  app.add_flag("--batch-invariant", o.batch_invariant, "same bits whatever shares the batch, at some cost in speed");
  app.add_flag("--no-prefix-cache", o.no_prefix_cache, "compute every prompt from its first token");
}

void add_job_options(CLI::App& app, JobOptions& o) {
  add_text(app, "--input", o.input, "FILE", "JSONL, or - for stdin");
  add_text(app, "--output", o.output, "FILE", "JSONL, or - for stdout (the default)");
  add_count(app, "--limit", o.limit, 1, kMany, "only the first N rows");
  add_count(app, "--seed", o.seed, 0, INT64_MAX,
            "of sampling (0); a row's answer depends on it and on the row's index only");
  app.add_flag("--resume", o.resume, "go on with an --output that was interrupted");
  app.add_flag("--retry-failed", o.retry_failed, "with --resume: run the rows that carry an error again");
  app.add_flag("--unordered", o.unordered, "write rows as they finish, not in the order of the input");
  app.add_flag("--quiet", o.quiet, "no progress, no warnings, no summary");
  add_choice(app, "--log-level", o.log_level, {"error", "warn", "info", "debug"}, "what to tell on stderr (info)");
}

void add_prompt_options(CLI::App& app, PromptOptions& o, bool automatic) {
  if (automatic)
    add_choice(
        app, "--think", o.think, {"template", "on", "off", "auto"},
        "enable_thinking of the chat template; template: leave it undefined; auto: think where --difficulty says so");
  else
    add_choice(app, "--think", o.think, {"template", "on", "off"},
               "enable_thinking of the chat template; template: leave it undefined");
  add_text(app, "--prompt-template", o.prompt_template, "TEXT", "the user's turn, with {field} for fields of the row");
  app.add_flag("--no-chat", o.no_chat, "give prompts to the model as they are, without its chat template");
}

void add_sampling_options(CLI::App& app, SamplingOptions& o) {
  add_real(app, "--temperature", o.temperature, 0, 100, "0 is greedy (0)");
  add_real(app, "--top-p", o.top_p, 0, 1, "keep the likeliest tokens of this total probability (1: all)");
  add_count(app, "--top-k", o.top_k, 0, INT32_MAX, "keep the K likeliest tokens (0: all)");
  add_real(app, "--min-p", o.min_p, 0, 1,
           "keep tokens of at least this share of the likeliest one's probability (0: all)");
}

void add_score_options(CLI::App& app, ScoreOptions& o) {
  add_text(app, "--scores", o.scores, "all|none|LIST",
           "score groups: kv-coe, prob, coe, and of several answers eigenscore, semantic-entropy (kv-coe,prob)");
  add_choice(app, "--span", o.span, {"response", "boundary", "all", "prompt"},
             "positions that the KV trajectory covers (response)");
  add_choice(app, "--part", o.part, {"v", "k", "kv"}, "what of the cache it is made of (v)");
  add_text(app, "--layers", o.layers, "all|lastN|LIST", "layers of the KV trajectory, e.g. 0,3,8-11 (all)");
  add_choice(app, "--k-rope", o.k_rope, {"post", "pre"}, "its keys: as they are cached, or as before RoPE (post)");
  add_real(app, "--alpha", o.alpha, -1e6, 1e6, "weight of the mean dr in kv_coe.paper.r (1)");
  add_real(app, "--beta", o.beta, -1e6, 1e6, "weight of the mean dtheta in kv_coe.paper.r (1)");
  add_choice(app, "--coe-final-norm", o.coe_final_norm, {"on", "off"},
             "hidden-state CoE's last state: after the final norm, or before it (on)");
  app.add_flag("--trajectory", o.trajectory, "add the arrays dr and dtheta to scores.kv_coe");
  app.add_flag("--output-ids", o.output_ids, "add prompt_ids and output_ids, for `kvgauge score`");
  app.add_flag("--embed", o.embed,
               "add `embedding`: the cache over the positions of --span, pooled as the flags --embed-... say");
  add_embedding_options(app, o.embedding, kEmbedPrefix);
}

EngineOptions compute_options(const ComputeOptions& o) {
  check_device(o.device);
  EngineOptions options;
  options.model = model_path(o.model);
  options.device = o.device;
  options.dtype = o.dtype;
  options.threads = static_cast<int>(o.threads);
  options.batch_invariant = o.batch_invariant;
  options.kv_memory = o.kv_memory;
  return options;
}

EngineOptions engine_options(const ModelOptions& o) {
  EngineOptions options = compute_options(o);
  options.max_batch = o.max_batch;
  options.max_model_len = o.max_model_len;
  options.prefix_cache = !o.no_prefix_cache;
  return options;
}

std::optional<EmbeddingSpec> answer_embedding(const ScoreOptions& o, std::int64_t model_layers) {
  if (!o.embed) return std::nullopt;
  EmbeddingSpec spec = embedding_spec(o.embedding, kEmbedPrefix, model_layers);
  spec.span = span_of(o.span);
  return spec;
}

ScoreGroups score_groups(const ScoreOptions& o, AnswerCount answers) {
  const bool all = o.scores == "all", several = all && answers == AnswerCount::kSeveral;
  ScoreGroups groups;
  ScoreSpec& spec = groups.spec;
  spec = {.kv_coe = all,
          .prob = all,
          .part = part_of(o.part),
          .span = span_of(o.span),
          .keep_trajectory = o.trajectory,
          .layers = {},
          .unrotated_keys = o.k_rope == "pre",
          .alpha = o.alpha,
          .beta = o.beta,
          .coe = all,
          .coe_final_norm = o.coe_final_norm == "on",
          .eigenscore = several};
  groups.semantic_entropy = several;
  for (const std::string& group : all || o.scores == "none" ? std::vector<std::string>() : split_list(o.scores))
    turn_on(groups, group, answers);
  check_score_flags(o, spec);
  check_embedding(o.embedding, kEmbedPrefix);
  if (const std::string given = first_given(o.embedding); !o.embed && !given.empty())
    throw UsageError(cat(kEmbedPrefix, given, ": --embed is off; add it"));
  return groups;
}

std::vector<std::int32_t> resolve_layers(const ScoreOptions& o, const EngineOptions& engine) {
  if (o.layers == "all") return {};
  return parse_layers("--layers", o.layers, ModelFiles::open(engine.model).config().layers);
}

void check_job(const JobOptions& o) {
  if (o.input.empty()) throw UsageError("--input: not given, a JSONL file or - for stdin was needed");
  if (o.output.empty()) throw UsageError("--output: found '', a file or - for stdout was needed");
  if (o.retry_failed && !o.resume) throw UsageError("--retry-failed: it chooses rows of an earlier run; add --resume");
  if (o.resume && o.input == "-") throw UsageError("--resume: stdin cannot be read again; give the file to --input");
  if (o.input != "-" && !fs::exists(o.input)) throw InputError(cat(o.input, ": no such file"));
  std::error_code ignored;
  if (o.input != "-" && o.output != "-" && fs::equivalent(o.input, o.output, ignored) && fs::is_regular_file(o.output))
    throw UsageError(cat("--output: ", o.output, " is the --input; choose another file"));
}

void check_prompt(const PromptOptions& o) {
  if (o.no_chat && o.think != "template")
    throw UsageError(
        cat("--think: '", o.think, "' is a switch of the chat template, which --no-chat leaves out; drop one of them"));
}

std::optional<bool> thinking(const PromptOptions& o) {
  return o.think == "on" || o.think == "off" ? std::optional(o.think == "on") : std::nullopt;
}

std::string model_path(const std::string& option) {
  if (!option.empty()) {
    if (!fs::exists(option)) throw InputError(cat("--model: ", option, ": no such file or folder"));
    return option;
  }
  std::vector<fs::path> places;
  if (const char* const data = std::getenv("KVGAUGE_DATA")) places.push_back(fs::path(data) / "models");
  std::error_code ignored;
  if (const fs::path binary = fs::read_symlink("/proc/self/exe", ignored); !binary.empty())
    places.push_back(binary.parent_path().parent_path() / "share" / "kvgauge" / "models");
  places.push_back(fs::path(build_info().source) / "models");
  for (const fs::path& place : places)
    if (fs::exists(place / kEmbeddedModel / "config.json", ignored))
      return (place / kEmbeddedModel).lexically_normal().string();
  std::vector<std::string> names;
  for (const fs::path& place : places) names.push_back(place.string());
  throw InputError(cat("--model: not given, and the embedded ", kEmbeddedModel, " is in none of ", join(names, ", "),
                       "; give --model or set KVGAUGE_DATA"));
}

void put_settings(OrderedJson& to, const ModelOptions& o) {
  to["device"] = o.device;
  to["dtype"] = o.dtype;
  to["batch-invariant"] = o.batch_invariant;
  to["max-model-len"] = o.max_model_len;
}

void put_settings(OrderedJson& to, const PromptOptions& o) {
  to["think"] = o.think;
  to["prompt-template"] = o.prompt_template;
  to["no-chat"] = o.no_chat;
}

void put_settings(OrderedJson& to, const ScoreOptions& o, AnswerCount answers) {
  const ScoreGroups groups = score_groups(o, answers);  // "all" and the list of all groups are the same settings
  std::vector<std::string> names;
  if (groups.spec.kv_coe) names.push_back("kv-coe");
  if (groups.spec.prob) names.push_back("prob");
  if (groups.spec.coe) names.push_back("coe");
  if (groups.spec.eigenscore) names.push_back("eigenscore");
  if (groups.semantic_entropy) names.push_back("semantic-entropy");
  to["scores"] = names.empty() ? "none" : join(names, ",");
  to["span"] = o.span;
  to["part"] = o.part;
  to["layers"] = o.layers;
  to["k-rope"] = o.k_rope;
  to["alpha"] = o.alpha;
  to["beta"] = o.beta;
  to["coe-final-norm"] = o.coe_final_norm;
  to["trajectory"] = o.trajectory;
  to["output-ids"] = o.output_ids;
  if (!o.embed) return;
  to["embed"] = true;
  put_settings(to, o.embedding, kEmbedPrefix);
}

}  // namespace kvgauge::cli
