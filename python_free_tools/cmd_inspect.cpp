#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>

#include "cli.h"
#include "common_options.h"
#include "core/cat.h"
#include "core/json.h"
#include "kvgauge/error.h"
#include "loader/model_files.h"
#include "model/cache_layout.h"
#include "option_values.h"
#include "result_file.h"

namespace kvgauge::cli {
namespace {

constexpr const char* kExamples = R"(
Examples:
  kvgauge inspect                                     the embedded model
  kvgauge inspect models/Qwen3-0.6B --kv-memory 8GiB
  kvgauge inspect SmolLM2.gguf --json
)";

struct InspectOptions {
  std::string model;
  std::uint64_t kv_memory = 0;
  bool json = false;
};

// Memory of the machine less the weights, where --kv-memory does not say.
std::uint64_t memory_for_pages(const InspectOptions& o, std::uint64_t weight_bytes) {
  if (o.kv_memory > 0) return o.kv_memory;
  const std::uint64_t machine =
      static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return machine > weight_bytes ? machine - weight_bytes : 0;
}

OrderedJson cache_json(const ModelConfig& config, DType dtype, std::uint64_t bytes) {
  const PageLayout layout = page_layout(config, dtype);
  const auto sequences = [&](std::int64_t tokens) {
    return bytes / static_cast<std::uint64_t>(layout.block_bytes()) /
           static_cast<std::uint64_t>((tokens + kPageTokens - 1) / kPageTokens);
  };
  return {{"bytes_per_token", layout.bytes_per_token()},
          {"sequences_4k", sequences(4096)},
          {"sequences_32k", sequences(32768)}};
}

OrderedJson architecture_json(const ModelConfig& c) {
  OrderedJson json = {{"architecture", name(c.architecture)},
                      {"layers", c.layers},
                      {"hidden", c.hidden},
                      {"heads", c.heads},
                      {"kv_heads", c.kv_heads},
                      {"head_dim", c.head_dim},
                      {"intermediate", c.intermediate},
                      {"vocab", c.vocab},
                      {"context", c.max_positions},
                      {"rope_theta", c.rope_theta},
                      {"rope_scaling", c.rope_scaling            ? "llama3"
                                       : !c.rope_factors.empty() ? "factors"
                                                                 : "none"},
                      {"rms_norm_eps", c.rms_norm_eps},
                      {"qkv_bias", c.qkv_bias},
                      {"qk_norm", c.qk_norm},
                      {"tied_head", c.tied_head}};
  return json;
}

OrderedJson tokenizer_json(const ModelFiles& files) {
  const TokenizerSpec& spec = files.tokenizer();
  return {{"tokens", spec.tokens.size()},
          {"merges", spec.merges.size()},
          {"added", spec.added.size()},
          {"bos", files.bos_token()},
          {"eos", files.eos_token()},
          {"end_ids", files.generation().eos},
          {"chat_template", files.chat_template().has_value()},
          {"enable_thinking",
           files.chat_template() && files.chat_template()->find("enable_thinking") != std::string::npos}};
}

OrderedJson facts_of(const InspectOptions& o, const ModelFiles& files) {
  const ModelConfig& config = files.config();
  std::uint64_t parameters = 0, bytes = 0;
  std::map<std::string, std::int64_t> types;
  OrderedJson tensors = OrderedJson::array();
  for (const StoredTensor& tensor : files.tensors()) {
    parameters += static_cast<std::uint64_t>(tensor.rows) * static_cast<std::uint64_t>(tensor.columns);
    bytes += tensor.data.size();
    ++types[name(tensor.type)];
    tensors.push_back(
        {{"name", tensor.name},
         {"dtype", name(tensor.type)},
         {"shape", tensor.rows == 1 ? OrderedJson{tensor.columns} : OrderedJson{tensor.rows, tensor.columns}},
         {"bytes", tensor.data.size()}});
  }
  OrderedJson json = {{"name", config.name}};
  json.update(architecture_json(config));
  json["parameters"] = parameters;
  json["file_bytes"] = bytes;
  json["stored_types"] = types;
  json["dtype"] = name(config.stored_dtype);
  const std::uint64_t memory = memory_for_pages(o, 2 * parameters);
  json["kv_memory"] = memory;
  json["kv_cache"] = {{"bf16", cache_json(config, DType::kBF16, memory)},
                      {"f32", cache_json(config, DType::kF32, memory)}};
  json["tokenizer"] = tokenizer_json(files);
  json["tensors"] = std::move(tensors);
  return json;
}

std::string size_text(double bytes) {
  int unit = 0;
  for (; bytes >= 1024 && unit < 4; ++unit) bytes /= 1024;
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  return fmt::format("{:.{}f} {}", bytes, unit == 0 ? 0 : 1, kUnits[unit]);
}

std::string as_text(const OrderedJson& j, const std::string& path) {
  std::string out = fmt::format("{}\n  {} ({}), {} parameters, {} in {} tensors\n", path, j["name"].get<std::string>(),
                                j["architecture"].get<std::string>(), j["parameters"].get<std::uint64_t>(),
                                size_text(j["file_bytes"].get<double>()), j["tensors"].size());
  out += fmt::format(
      "  layers {}, hidden {}, heads {} of {}, KV heads {}, feed-forward {}, vocabulary {}, context {}\n",
      j["layers"].get<int>(), j["hidden"].get<int>(), j["heads"].get<int>(), j["head_dim"].get<int>(),
      j["kv_heads"].get<int>(), j["intermediate"].get<int>(), j["vocab"].get<int>(), j["context"].get<std::int64_t>());
  out += fmt::format("  RoPE theta {}, scaling {}; QKV bias {}, q/k norm {}, tied head {}\n",
                     j["rope_theta"].get<double>(), j["rope_scaling"].get<std::string>(),
                     j["qkv_bias"].get<bool>() ? "yes" : "no", j["qk_norm"].get<bool>() ? "yes" : "no",
                     j["tied_head"].get<bool>() ? "yes" : "no");
  const OrderedJson& t = j["tokenizer"];
  out += fmt::format("  tokenizer: {} tokens, {} merges, {} added; ends at {}; chat template {}{}\n",
                     t["tokens"].get<std::size_t>(), t["merges"].get<std::size_t>(), t["added"].get<std::size_t>(),
                     t["end_ids"].dump(), t["chat_template"].get<bool>() ? "yes" : "no",
                     t["enable_thinking"].get<bool>() ? " with enable_thinking" : "");
  for (const char* const dtype : {"bf16", "f32"}) {
    const OrderedJson& cache = j["kv_cache"][dtype];
    out += fmt::format("  KV cache in {}: {} a token; {} hold {} sequences of 4k or {} of 32k\n", dtype,
                       size_text(cache["bytes_per_token"].get<double>()), size_text(j["kv_memory"].get<double>()),
                       cache["sequences_4k"].get<std::uint64_t>(), cache["sequences_32k"].get<std::uint64_t>());
  }
  out += "  tensors:\n";
  for (const OrderedJson& tensor : j["tensors"])
    out += fmt::format("    {:<52} {:<5} {:<16} {}\n", tensor["name"].get<std::string>(),
                       tensor["dtype"].get<std::string>(), tensor["shape"].dump(),
                       size_text(tensor["bytes"].get<double>()));
  return out;
}

int inspect(const InspectOptions& o) {
  const std::string path = model_path(o.model);
  const OrderedJson facts = facts_of(o, ModelFiles::open(path));
  ResultFile output("-");
  output.write(o.json ? facts.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n" : as_text(facts, path));
  output.finish();
  return kDone;
}

}  // namespace

Command add_inspect(CLI::App& root) {
  CLI::App* const app = root.add_subcommand(
      "inspect", "What a model is: architecture, tensors, KV bytes per token, how many sequences fit");
  const auto o = std::make_shared<InspectOptions>();
  add_text(*app, "MODEL,--model", o->model, "PATH",
           "Hugging Face folder or .gguf file; left out: the embedded tiny-reasoner");
  add_bytes(*app, "--kv-memory", o->kv_memory,
            "memory for KV pages, e.g. 4GiB; left out: the machine's, less the weights in bf16");
  app->add_flag("--json", o->json, "all facts as JSON");
  app->footer(kExamples);
  return {app, [o] { return inspect(*o); }};
}

}  // namespace kvgauge::cli
