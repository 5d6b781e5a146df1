#include "report/output_row.h"

#include <cmath>

#include "core/cat.h"
#include "kvgauge/error.h"

namespace kvgauge {
namespace {

OrderedJson number(double value) { return number_json(value); }

OrderedJson kv_coe_json(const Answer& answer, const ScoreSpec& spec) {
  const KvCoeScores& s = *answer.kv_coe;
  OrderedJson json = OrderedJson::object();
  json["part"] = name(spec.part);
  json["span"] = name(spec.span);
  // Texts and lists, which no one takes for scores; only what is not the default.
  if (!spec.layers.empty()) json["layers"] = spec.layers;
  if (spec.unrotated_keys) json["k_rope"] = "pre";
  if (spec.alpha != 1 || spec.beta != 1) json["paper_weights"] = {spec.alpha, spec.beta};
  json["tokens"] = s.tokens;
  json["valid"] = s.valid;
  json["paper"] = {{"r", number(s.paper_r)}, {"c", number(s.paper_c)}};
  json["normalized"] = {{"r", number(s.normalized_r)}, {"c", number(s.normalized_c)}};
  json["normalized_cart"] = {{"c", number(s.normalized_cart_c)}};
  json["diff"] = {{"r", number(s.diff_r)}};
  json["polar_raw"] = {{"c", number(s.polar_raw_c)}};
  json["mean_dr"] = number(s.mean_dr);
  json["mean_dtheta"] = number(s.mean_dtheta);
  json["end_dr"] = number(s.end_dr);
  json["end_dtheta"] = number(s.end_dtheta);
  if (spec.keep_trajectory) {
    json["dr"] = answer.dr;
    json["dtheta"] = answer.dtheta;
  }
  return json;
}

OrderedJson prob_json(const ProbScores& s) {
  OrderedJson json = OrderedJson::object();
  json["tokens"] = s.tokens;
  json["logits"] = "raw";  // before temperature and filters (METHOD.md C: record which)
  json["maxprob_official"] = number(s.maxprob_official);
  json["ppl_official"] = number(s.ppl_official);
  json["entropy_official"] = number(s.entropy_official);
  json["nll"] = number(s.nll);
  json["perplexity"] = number(s.perplexity);
  json["seq_logprob"] = number(s.seq_logprob);
  json["entropy_nats"] = number(s.entropy_nats);
  json["min_prob"] = number(s.min_prob);
  json["margin"] = number(s.margin);
  json["self_certainty"] = number(s.self_certainty);
  return json;
}

OrderedJson coe_json(const CoeScores& s, const ScoreSpec& spec) {
  const auto pair = [](const CoePair& p) { return OrderedJson{{"r", number(p.r)}, {"c", number(p.c)}}; };
  OrderedJson json = OrderedJson::object();
  if (!spec.coe_final_norm) json["final_norm"] = false;
  json["official"] = pair(s.official);
  json["fixed"] = pair(s.fixed);
  json["response"] = pair(s.response);
  return json;
}

std::int64_t completion_tokens(const Finished& finished) {
  std::int64_t tokens = 0;
  for (const Answer& answer : finished.answers) tokens += static_cast<std::int64_t>(answer.tokens.size());
  return tokens;
}

OrderedJson usage_json(const Finished& finished) {
  return {{"prompt_tokens", finished.prompt_tokens},
          {"cached_tokens", finished.cached_tokens},
          {"completion_tokens", completion_tokens(finished)}};
}

OrderedJson thinking_json(const ThinkingRecord& record) {
  OrderedJson switches = OrderedJson::array(), looks = OrderedJson::array();
  for (const ThinkingSwitch& s : record.switches)
    switches.push_back({{"at", s.at}, {"to", name(s.to)}, {"d", number(s.d)}, {"injected", s.injected}});
  for (const ThinkingLook& look : record.looks) looks.push_back({{"at", look.at}, {"d", number(look.d)}});
  OrderedJson json = {{"mode", name(record.first)}, {"final_mode", name(record.last)}};
  json["switches"] = std::move(switches);
  json["sampled"] = record.sampled;
  json["injected"] = record.injected;
  json["processed"] = record.processed();
  json["paper"] = record.last_segment;
  json["prefix"] = record.prefix;
  json["probes"] = record.probes;
  if (!record.looks.empty()) json["looks"] = std::move(looks);
  return json;
}

bool measures(const ScoreSpec& spec) { return spec.kv_coe || spec.prob || spec.coe; }

// The fields of one answer that every candidate has.
void put_answer(OrderedJson& json, const Answer& answer, const OutputFormat& format) {
  if (format.text) json["text"] = answer.text;
  if (format.answer) json["finish_reason"] = name(answer.finish_reason);
}

void put_embedding(OrderedJson& json, const Answer& answer, const OutputFormat& format) {
  if (format.embedding) json["embedding"] = answer.embedding.empty() ? OrderedJson() : OrderedJson(answer.embedding);
}

/// @param scores of each answer; taken
OrderedJson candidates_json(const Finished& finished, std::vector<OrderedJson>& scores, const OutputFormat& format) {
  OrderedJson candidates = OrderedJson::array();
  for (std::size_t i = 0; i < finished.answers.size(); ++i) {
    const Answer& answer = finished.answers[i];
    OrderedJson one = OrderedJson::object();
    put_answer(one, answer, format);
    one["usage"] = {{"completion_tokens", answer.tokens.size()}};
    if (measures(format.scores)) one["scores"] = std::move(scores[i]);
    put_embedding(one, answer, format);
    if (answer.thinking) one["thinking"] = thinking_json(*answer.thinking);
    if (format.token_ids) one["output_ids"] = answer.tokens;
    candidates.push_back(std::move(one));
  }
  return candidates;
}

void put_carried(OrderedJson& json, const InputRow& row) {
  for (const auto& field : row.carried.items()) json[field.key()] = field.value();
}

OrderedJson plain_row(const InputRow& row, const Finished& finished, const std::vector<std::int32_t>& prompt,
                      const OutputFormat& format) {
  OrderedJson json = OrderedJson::object();
  json["id"] = row.id;
  json["index"] = row.index;
  std::vector<OrderedJson> scores;
  for (const Answer& answer : finished.answers) scores.push_back(scores_json(answer, format.scores));
  const bool several = finished.answers.size() > 1;
  const bool given = row.selected >= 0 && row.selected < std::ssize(finished.answers);
  const AnswerClusters clusters = cluster_answers(finished, format.candidates);
  const std::int64_t selected = given ? row.selected : selected_answer(finished, scores, format.candidates, clusters);
  const Answer& shown = finished.answers[static_cast<std::size_t>(selected)];
  put_answer(json, shown, format);
  json["usage"] = usage_json(finished);
  if (row.text_tokens > finished.prompt_tokens) json["truncated"] = true;
  if (measures(format.scores)) json["scores"] = scores[static_cast<std::size_t>(selected)];
  put_embedding(json, shown, format);
  if (!format.head.empty()) json["difficulty"] = {{"prompt", number(finished.difficulty)}, {"head", format.head}};
  if (shown.thinking) json["thinking"] = thinking_json(*shown.thinking);
  if (several) {
    if (OrderedJson group = group_scores_json(finished, format.candidates, clusters); !group.empty())
      json["group_scores"] = std::move(group);
    json["selected"] = selected;
    if (!format.candidates.select.empty()) json["select"] = format.candidates.select;
    json["candidates"] = candidates_json(finished, scores, format);
  }
  if (format.token_ids) {
    json["prompt_ids"] = prompt;
    for (const std::int32_t token : finished.prompt_suffix) json["prompt_ids"].push_back(token);
    json["output_ids"] = shown.tokens;
  }
  put_carried(json, row);
  json["timing"] = {{"queue_ms", finished.queue_ms}, {"ttft_ms", finished.ttft_ms}, {"e2e_ms", finished.e2e_ms}};
  json["error"] = nullptr;
  return json;
}

OrderedJson choices_json(const InputRow& row, const Finished& finished) {
  OrderedJson choices = OrderedJson::array();
  for (const Answer& answer : finished.answers) {
    OrderedJson choice = {{"index", choices.size()}};
    if (row.messages.is_null())
      choice["text"] = answer.text;
    else
      choice["message"] = {{"role", "assistant"}, {"content", answer.text}};
    choice["logprobs"] = nullptr;
    choice["finish_reason"] = name(answer.finish_reason);
    choices.push_back(std::move(choice));
  }
  return choices;
}

OrderedJson batch_row(const InputRow& row, const Finished& finished, OrderedJson kvgauge) {
  const std::string id = cat("kvgauge-", row.index);  // no clock and no dice: the same job gives the same row
  const std::int64_t completion = completion_tokens(finished);
  OrderedJson body = {{"id", id},
                      {"object", row.messages.is_null() ? "text_completion" : "chat.completion"},
                      {"created", 0},
                      {"model", row.model}};
  body["choices"] = choices_json(row, finished);
  body["usage"] = {{"prompt_tokens", finished.prompt_tokens},
                   {"completion_tokens", completion},
                   {"total_tokens", finished.prompt_tokens + completion}};
  body["usage"]["prompt_tokens_details"] = {{"cached_tokens", finished.cached_tokens}};
  body["kvgauge"] = std::move(kvgauge);
  OrderedJson json = {{"id", id}, {"custom_id", row.id}};
  json["response"] = {{"status_code", 200}, {"request_id", id}, {"body", std::move(body)}};
  json["error"] = nullptr;
  return json;
}

}  // namespace

OrderedJson number_json(double value) { return std::isfinite(value) ? OrderedJson(value) : OrderedJson(); }

OrderedJson scores_json(const Answer& answer, const ScoreSpec& spec) {
  OrderedJson scores = OrderedJson::object();
  if (spec.kv_coe && answer.kv_coe) scores["kv_coe"] = kv_coe_json(answer, spec);
  if (spec.coe && answer.coe) scores["coe"] = coe_json(*answer.coe, spec);
  if (spec.prob && answer.prob) scores["prob"] = prob_json(*answer.prob);
  return scores;
}

OrderedJson output_row(const InputRow& row, const Finished& finished, const std::vector<std::int32_t>& prompt,
                       const OutputFormat& format) {
  if (!finished.error.empty()) return error_row(row, finished.error);
  OrderedJson json = plain_row(row, finished, prompt, format);
  return row.form == RowForm::kBatch ? batch_row(row, finished, std::move(json)) : json;
}

OrderedJson error_row(const InputRow& row, const std::string& error) {
  OrderedJson json = OrderedJson::object();
  json["id"] = row.id;
  json["index"] = row.index;
  json["finish_reason"] = name(FinishReason::kError);
  put_carried(json, row);
  json["error"] = error;
  if (row.form != RowForm::kBatch) return json;
  const std::string id = cat("kvgauge-", row.index);
  OrderedJson body = {{"error", {{"message", error}, {"type", "invalid_request_error"}}}, {"kvgauge", std::move(json)}};
  OrderedJson answer = {{"id", id}, {"custom_id", row.id}};
  answer["response"] = {{"status_code", 400}, {"request_id", id}, {"body", std::move(body)}};
  answer["error"] = {{"code", "invalid_request"}, {"message", error}};
  return answer;
}

std::string to_line(const OrderedJson& row) { return row.dump(-1, ' ', false, OrderedJson::error_handler_t::replace); }

const OrderedJson* member(const OrderedJson* json, const std::string& key) {
  if (!json || !json->is_object()) return nullptr;
  const auto it = json->find(key);
  return it == json->end() ? nullptr : &*it;
}

const OrderedJson& kvgauge_fields(const OrderedJson& row) {
  const OrderedJson* const batch = member(member(member(&row, "response"), "body"), "kvgauge");
  return batch ? *batch : row;
}

RowFacts row_facts(const OrderedJson& row, std::string_view where) {
  const OrderedJson& ours = kvgauge_fields(row);
  const OrderedJson* const index = member(&ours, "index");
  if (!index || !index->is_number_integer() || *index < 0)
    throw FormatError(cat(where, ": no row of a kvgauge job, an object with an 'index' was needed"));
  const OrderedJson* const error = member(&ours, "error");
  const OrderedJson* const usage = member(&ours, "usage");
  const auto count = [&](const char* key) {
    const OrderedJson* const value = member(usage, key);
    return value && value->is_number_integer() ? value->get<std::int64_t>() : 0;
  };
  return {.index = index->get<std::int64_t>(),
          .failed = error && !error->is_null(),
          .prompt_tokens = count("prompt_tokens"),
          .cached_tokens = count("cached_tokens"),
          .completion_tokens = count("completion_tokens"),
          .truncated = member(&ours, "truncated") != nullptr};
}

}  // namespace kvgauge
