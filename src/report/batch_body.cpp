#include "report/batch_body.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "core/cat.h"
#include "core/printable.h"
#include "kvgauge/error.h"

namespace kvgauge {
namespace {

// Parameters that say nothing about the answer.
constexpr std::array<std::string_view, 9> kIgnored = {"model",
                                                      "user",
                                                      "metadata",
                                                      "store",
                                                      "service_tier",
                                                      "stream_options",
                                                      "parallel_tool_calls",
                                                      "safety_identifier",
                                                      "prompt_cache_key"};

// Parameters we do not have, with the value at which they change nothing.
struct Neutral {
  std::string_view name;
  const char* value;
};
constexpr std::array<Neutral, 13> kNeutral = {{{"frequency_penalty", "0"},
                                               {"presence_penalty", "0"},
                                               {"repetition_penalty", "1"},
                                               {"logit_bias", "{}"},
                                               {"stream", "false"},
                                               {"logprobs", "false"},
                                               {"top_logprobs", "0"},
                                               {"echo", "false"},
                                               {"best_of", "1"},
                                               {"response_format", R"({"type":"text"})"},
                                               {"tool_choice", R"("auto")"},
                                               {"suffix", R"("")"},
                                               {"min_tokens", "0"}}};

RequestError wrong(std::string_view key, const OrderedJson& value, const char* needed) {
  return RequestError(cat("body.", key, ": found ",
                          printable(value.dump(-1, ' ', false, OrderedJson::error_handler_t::replace), 60), ", ",
                          needed, " was needed"));
}

std::int64_t whole(std::string_view key, const OrderedJson& value, std::int64_t least) {
  if (!value.is_number_integer() || (value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX) ||
      value.get<std::int64_t>() < least)
    throw wrong(key, value, cat("a whole number of at least ", least).c_str());
  return value.get<std::int64_t>();
}

double real(std::string_view key, const OrderedJson& value, double low, double high) {
  if (!value.is_number() || !(value.get<double>() >= low && value.get<double>() <= high))
    throw wrong(key, value, cat("a number from ", low, " to ", high).c_str());
  return value.get<double>();
}

std::vector<std::string> stops(const OrderedJson& value) {
  if (value.is_string() && !value.get_ref<const std::string&>().empty()) return {value.get<std::string>()};
  const auto is_text = [](const OrderedJson& stop) {
    return stop.is_string() && !stop.get_ref<const std::string&>().empty();
  };
  if (!value.is_array() || !std::all_of(value.begin(), value.end(), is_text))
    throw wrong("stop", value, "a string or an array of strings");
  return value.get<std::vector<std::string>>();
}

// @return false if the parameter is none of sampling
bool read_sampling(RowOverrides& to, std::string_view key, const OrderedJson& value) {
  if (key == "max_tokens" || key == "max_completion_tokens")
    to.max_tokens = whole(key, value, 1);
  else if (key == "temperature")
    to.temperature = real(key, value, 0, 100);
  else if (key == "top_p")
    to.top_p = real(key, value, 0, 1);
  else if (key == "min_p")
    to.min_p = real(key, value, 0, 1);
  else if (key == "top_k")
    to.top_k = std::max<std::int64_t>(0, whole(key, value, -1));  // -1 is another way to say "off"
  else if (key == "n")
    to.samples = whole(key, value, 1);
  else if (key == "seed")
    to.seed = static_cast<std::uint64_t>(whole(key, value, INT64_MIN));
  else if (key == "stop")
    to.stop = stops(value);
  else if (key == "ignore_eos" && value.is_boolean())
    to.ignore_eos = value.get<bool>();
  else
    return false;
  return true;
}

void check_neutral(std::string_view key, const OrderedJson& value) {
  const auto known = std::find_if(kNeutral.begin(), kNeutral.end(), [&](const Neutral& n) { return n.name == key; });
  if (known == kNeutral.end()) throw RequestError(cat("body.", printable(key, 60), ": is not known; leave it out"));
  if (value != OrderedJson::parse(known->value))
    throw wrong(key, value, cat("it is not supported: ", known->value, " or nothing").c_str());
}

void check_request_line(const OrderedJson& fields) {
  if (const auto method = fields.find("method"); method != fields.end() && *method != "POST")
    throw RequestError(cat("method: found ", printable(method->dump(), 60), ", \"POST\" was needed"));
  const auto url = fields.find("url");
  if (url != fields.end() && *url != "/v1/chat/completions" && *url != "/v1/completions")
    throw RequestError(
        cat("url: found ", printable(url->dump(), 60), ", /v1/chat/completions or /v1/completions was needed"));
}

}  // namespace

void read_batch_body(InputRow& row, const OrderedJson& fields, const OrderedJson& body) {
  if (!body.is_object()) throw RequestError(cat("'body' is ", body.type_name(), ", an object was needed"));
  check_request_line(fields);
  for (const auto& member : body.items()) {
    const std::string& key = member.key();
    const OrderedJson& value = member.value();
    if (value.is_null() || key == "chat_template_kwargs") continue;
    if (key == "messages")
      row.messages = value;
    else if (key == "tools")
      row.tools = value;
    else if (key == "prompt" && value.is_string())
      row.prompt = value.get<std::string>();
    else if (key == "prompt")
      throw wrong(key, value, "a string");
    else if (!read_sampling(row.overrides, key, value) &&
             std::find(kIgnored.begin(), kIgnored.end(), key) == kIgnored.end())
      check_neutral(key, value);
  }
  if (row.messages.is_null() == row.prompt.empty())
    throw RequestError(cat("body: found ", row.prompt.empty() ? "neither" : "both",
                           " of messages and prompt, one of them was needed"));
  if (const auto model = body.find("model"); model != body.end() && model->is_string())
    row.model = model->get<std::string>();
  const auto url = fields.find("url");
  row.plain = row.messages.is_null() && url != fields.end() && *url == "/v1/completions";
  read_template_arguments(row, body);
}

void read_template_arguments(InputRow& row, const OrderedJson& fields) {
  const auto given = fields.find("chat_template_kwargs");
  if (given == fields.end() || given->is_null()) return;
  if (!given->is_object())
    throw RequestError(cat("'chat_template_kwargs' is ", given->type_name(), ", an object was needed"));
  for (const auto& member : given->items()) {
    if (member.key() != "enable_thinking")
      throw RequestError(
          cat("chat_template_kwargs.", printable(member.key(), 60), ": is not known, only enable_thinking is"));
    if (!member.value().is_boolean())
      throw RequestError(cat("chat_template_kwargs.enable_thinking: found ", member.value().type_name(),
                             ", true or false was needed"));
    row.thinking = member.value().get<bool>();
  }
}

}  // namespace kvgauge
