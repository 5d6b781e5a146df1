#include "report/manifest.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <filesystem>

#include "core/cat.h"
#include "core/mapped_file.h"
#include "core/output_file.h"
#include "core/sha256.h"
#include "kvgauge/error.h"
#include "report/build_info.h"

namespace kvgauge {
namespace {

std::string shown(const Json* value) {
  return value ? value->dump(-1, ' ', false, Json::error_handler_t::replace) : "not set";
}

const Json* member(const Json& object, const std::string& key) {
  const auto it = object.find(key);
  return it == object.end() ? nullptr : &*it;
}

void compare(std::vector<std::string>& out, const std::string& what, const Json* then, const Json* now) {
  if (then == now || (then && now && *then == *now)) return;
  out.push_back(cat(what, " (", shown(then), " then, ", shown(now), " now)"));
}

}  // namespace

void JobTotals::add(const RowFacts& row) {
  ++rows;
  failed += row.failed ? 1 : 0;
  prompt_tokens += row.prompt_tokens;
  cached_tokens += row.cached_tokens;
  completion_tokens += row.completion_tokens;
  truncated += row.truncated ? 1 : 0;
}

OrderedJson Manifest::to_json() const {
  OrderedJson json = OrderedJson::object();
  json["kvgauge"] = {
      {"version", build_info().version}, {"commit", build_info().commit}, {"build", build_info().options}};
  json["verb"] = verb;
  json["model"] = {{"path", model}, {"hash", model_hash}};
  json["input"] = {{"path", input}, {"sha256", input_sha256}};
  json["settings"] = settings;
  json["environment"] = environment;
  json["started"] = started;
  json["finished"] = finished.empty() ? OrderedJson() : OrderedJson(finished);
  json["totals"] = {{"rows", totals.rows},
                    {"failed", totals.failed},
                    {"prompt_tokens", totals.prompt_tokens},
                    {"cached_tokens", totals.cached_tokens},
                    {"completion_tokens", totals.completion_tokens}};
  if (totals.truncated > 0) json["totals"]["truncated"] = totals.truncated;
  return json;
}

std::string manifest_path(const std::string& output) { return output + ".manifest.json"; }

std::optional<Json> read_manifest(const std::string& output) {
  const std::string path = manifest_path(output);
  if (!std::filesystem::exists(path)) return std::nullopt;
  Json json = parse_json(MappedFile(path).text(), path);
  for (const char* const key : {"settings", "input", "model"})
    if (!json.is_object() || !json.contains(key) || !json.at(key).is_object())
      throw FormatError(cat(path, ": no '", key, "' object in it, a manifest of kvgauge was needed"));
  return json;
}

void write_manifest(const std::string& output, const Manifest& manifest) {
  write_file_atomically(manifest_path(output),
                        manifest.to_json().dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n");
}

std::vector<std::string> differences(const Json& then, const Manifest& now) {
  std::vector<std::string> out;
  const Json current = Json::parse(now.to_json().dump(-1, ' ', false, OrderedJson::error_handler_t::replace));
  compare(out, "the verb", member(then, "verb"), member(current, "verb"));
  compare(out, "the content of --input", member(then.at("input"), "sha256"), member(current.at("input"), "sha256"));
  if (!now.model_hash.empty())
    compare(out, "the content of --model", member(then.at("model"), "hash"), member(current.at("model"), "hash"));
  Json both = then.at("settings");
  both.update(current.at("settings"));  // for the union of the names
  for (const auto& setting : both.items())
    compare(out, "--" + setting.key(), member(then.at("settings"), setting.key()),
            member(current.at("settings"), setting.key()));
  return out;
}

InputFacts inspect_input(const std::string& path) {
  const MappedFile file(path);
  const std::string_view text = file.text();
  InputFacts facts{.sha256 = sha256_hex(text), .lines = std::count(text.begin(), text.end(), '\n')};
  if (!text.empty() && text.back() != '\n') ++facts.lines;
  return facts;
}

std::string utc_now() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

}  // namespace kvgauge
