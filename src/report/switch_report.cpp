#include "report/switch_report.h"

#include <fmt/format.h>

#include <cmath>

#include "core/cat.h"
#include "report/build_info.h"
#include "report/output_row.h"
#include "report/report_text.h"

namespace kvgauge {
namespace {

OrderedJson range(const Interval& interval) {
  return OrderedJson::array({number_json(interval.low), number_json(interval.high)});
}

void put_estimate(OrderedJson& to, const std::string& key, const Estimate& estimate) {
  to[key] = number_json(estimate.value);
  to[key + "_ci95"] = range(estimate.ci95);
}

OrderedJson strategy_json(const StrategyResult& result) {
  OrderedJson out = {{"name", result.name}, {"settings", result.settings}, {"n", result.n}};
  put_estimate(out, "accuracy", result.accuracy);
  put_estimate(out, "kept", result.kept);
  out["slow_share"] = number_json(result.slow_share);
  for (const char* const key : {"tokens", "tokens_ci95", "reduction", "reduction_ci95"}) {
    OrderedJson& counters = out[key] = OrderedJson::object();
    for (std::size_t c = 0; c < kTokenCounters; ++c) {
      const Estimate& estimate = key[0] == 't' ? result.tokens[c] : result.reduction[c];
      counters[name(static_cast<TokenCounter>(c))] =
          std::string_view(key).ends_with("_ci95") ? range(estimate.ci95) : number_json(estimate.value);
    }
  }
  out["truncated"] = number_json(result.truncated);
  out["probes"] = number_json(result.probes);
  out["switches"] = number_json(result.switches);
  out["wall_ms"] = number_json(result.wall_ms);
  return out;
}

OrderedJson comparison_json(const PairedDifference& c) {
  OrderedJson out = {
      {"a", c.a}, {"b", c.b}, {"b_matched_in", c.matched.empty() ? OrderedJson() : OrderedJson(c.matched)}};
  put_estimate(out, "accuracy_difference", c.accuracy);
  out["accuracy_p"] = number_json(c.accuracy_p);
  out["accuracy_test"] = c.accuracy_test;
  put_estimate(out, "processed_difference", c.processed);
  out["processed_p"] = number_json(c.processed_p);
  return out;
}

OrderedJson questions_json(const SwitchQuestions& q) {
  return {{"path", q.path},
          {"sha256", q.sha256.empty() ? OrderedJson() : OrderedJson(q.sha256)},
          {"questions", q.n},
          {"failed", q.failed}};
}

OrderedJson list_json(const std::vector<StrategyResult>& results) {
  OrderedJson out = OrderedJson::array();
  for (const StrategyResult& result : results) out.push_back(strategy_json(result));
  return out;
}

std::string cell(const std::string& text) { return markdown_cell(text, 300); }  // settings are long

std::string with_range(const Estimate& estimate) {
  return cat(percent(estimate.value), " (", percent_range(estimate.ci95), ")");
}

void put_strategies(std::string& out, const SwitchReport& report) {
  out +=
      "\n## Strategies\n\nAccuracy, kept accuracy and saved tokens in percent with 95 % intervals; tokens are means "
      "per "
      "question. p: against random routing, see below.\n\n"
      "| strategy | settings | accuracy | of always-slow | slow | processed | saved | p |\n"
      "|---|---|---:|---:|---:|---:|---:|---:|\n";
  for (const ReportedStrategy& s : report.strategies) {
    const StrategyResult& r = s.result;
    put(out, "| {} | {} | {} | {} | {} | {} | {} | {} |\n", r.name, cell(settings_text(r.settings)),
        with_range(r.accuracy), with_range(r.kept), percent(r.slow_share),
        decimal(r.tokens.of(TokenCounter::kProcessed).value, 2), with_range(r.reduction.of(TokenCounter::kProcessed)),
        p_value(s.vs_random_p));
  }
  out +=
      "\n### All counters\n\nMean tokens per question, and how much less than always-slow on the same counter.\n\n"
      "| strategy | sampled | injected | processed | prompt | paper | post hoc | probes | switches | truncated | ms "
      "|\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n";
  for (const ReportedStrategy& s : report.strategies) {
    const StrategyResult& r = s.result;
    put(out, "| {} ", r.name);
    for (std::size_t c = 0; c < kTokenCounters; ++c) {
      const bool compared = c != static_cast<std::size_t>(TokenCounter::kPrompt) &&
                            c != static_cast<std::size_t>(TokenCounter::kInjected);
      put(out, "| {}{} ", decimal(r.tokens[c].value, 2),
          compared && r.reduction[c].value != 0 ? cat(" (-", decimal(100 * r.reduction[c].value, 1), " %)") : "");
    }
    put(out, "| {} | {} | {} | {} |\n", decimal(r.probes, 2), decimal(r.switches, 2), percent(r.truncated),
        decimal(r.wall_ms, 1));
  }
}

void put_comparisons(std::string& out, const SwitchReport& report) {
  if (report.comparisons.empty()) return;
  out +=
      "\n## Paired comparisons\n\na - b, question by question. p two-sided, of no difference in the mean: permutation "
      "(exact, over all routings with as many slow answers) or bootstrap over questions.\n\n"
      "| a | b | b made equal in | accuracy | p | test | processed | p |\n|---|---|---|---:|---:|---|---:|---:|\n";
  for (const PairedDifference& c : report.comparisons)
    put(out, "| {} | {} | {} | {} | {} | {} | {} ({} to {}) | {} |\n", c.a, c.b, c.matched.empty() ? "-" : c.matched,
        with_range(c.accuracy), p_value(c.accuracy_p), c.accuracy_test, decimal(c.processed.value, 2),
        decimal(c.processed.ci95.low, 2), decimal(c.processed.ci95.high, 2), p_value(c.processed_p));
}

void put_choices(std::string& out, const SwitchReport& report) {
  if (report.choices.empty()) return;
  put(out,
      "\n## Choices on the validation questions\n\nOf each, the cheapest with at least {} % ({} % and a margin of {} "
      "points) of always-slow's accuracy on {} questions.\n\n"
      "| of | settings | accuracy | processed | slow | kept enough | chosen |\n|---|---|---:|---:|---:|---|---|\n",
      decimal(100 * (report.keep + report.margin), 2), decimal(100 * report.keep, 2), decimal(100 * report.margin, 2),
      report.validation ? report.validation->n : 0);
  for (const SwitchChoice& c : report.choices)
    put(out, "| {} | {} | {} | {} | {} | {} | {} |\n", c.of, cell(settings_text(c.settings)), percent(c.accuracy),
        decimal(c.processed, 2), percent(c.slow_share), c.met ? "yes" : "no", c.chosen ? "yes" : "");
}

void put_heads(std::string& out, const SwitchReport& report) {
  if (report.heads.empty()) return;
  out +=
      "\n## Heads\n\n| head | window | AUROC of fast failing | with length | one-step accuracy | processed | saved | "
      "two-step accuracy | processed | saved |\n|---|---|---:|---:|---:|---:|---:|---:|---:|---:|\n";
  for (const ReportedHead& h : report.heads) {
    const auto part = [](const StrategyResult* r) {
      if (!r) return std::string("- | - | -");
      return cat(with_range(r->accuracy), " | ", decimal(r->tokens.of(TokenCounter::kProcessed).value, 2), " | ",
                 with_range(r->reduction.of(TokenCounter::kProcessed)));
    };
    put(out, "| {} | {} | {} | {} | {} | {} |\n", cell(h.path), cell(settings_text(h.facts)), percent(h.auroc),
        decimal(h.length_spearman, 3), part(&h.one_step), part(h.two_step ? &*h.two_step : nullptr));
  }
}

void put_sweep(std::string& out, const char* title, const std::vector<StrategyResult>& results) {
  if (results.empty()) return;
  put(out,
      "\n### {}\n\n| settings | slow | accuracy | of always-slow | processed | saved "
      "|\n|---|---:|---:|---:|---:|---:|\n",
      title);
  for (const StrategyResult& r : results)
    put(out, "| {} | {} | {} | {} | {} | {} |\n", cell(settings_text(r.settings)), percent(r.slow_share),
        with_range(r.accuracy), with_range(r.kept), decimal(r.tokens.of(TokenCounter::kProcessed).value, 2),
        with_range(r.reduction.of(TokenCounter::kProcessed)));
}

}  // namespace

std::string settings_text(const OrderedJson& settings) {
  std::string out;
  for (const auto& entry : settings.items()) {
    const OrderedJson& value = entry.value();
    const std::string& key = entry.key();
    const bool is_off = value == OrderedJson(false) || (key == "signal" && value == "difficulty") ||
                        ((key == "ema" || key.ends_with("_budget")) && value == 0);
    if (is_off) continue;  // what no one asked for
    const std::string text = value.is_number_float() ? fmt::format("{:.4g}", value.get<double>())
                             : value.is_string()     ? value.get<std::string>()
                                                     : value.dump();
    out += cat(out.empty() ? "" : ", ", key, " ", text);
  }
  return out;
}

OrderedJson switch_json(const SwitchReport& report) {
  OrderedJson out;
  out["strategies"] = OrderedJson::array();
  for (const ReportedStrategy& s : report.strategies) {
    OrderedJson strategy = strategy_json(s.result);
    strategy["paired_vs_random_p"] = number_json(s.vs_random_p);
    strategy["paired_vs_random_test"] = s.vs_random_test.empty() ? OrderedJson() : OrderedJson(s.vs_random_test);
    out["strategies"].push_back(std::move(strategy));
  }
  out["comparisons"] = OrderedJson::array();
  for (const PairedDifference& c : report.comparisons) out["comparisons"].push_back(comparison_json(c));
  out["choices"] = OrderedJson::array();
  for (const SwitchChoice& c : report.choices)
    out["choices"].push_back({{"of", c.of},
                              {"settings", c.settings},
                              {"accuracy", number_json(c.accuracy)},
                              {"processed", number_json(c.processed)},
                              {"slow_share", number_json(c.slow_share)},
                              {"kept_enough", c.met},
                              {"chosen", c.chosen}});
  out["keep"] = number_json(report.keep);
  out["margin"] = number_json(report.margin);
  if (!report.sweep_one_step.empty())
    out["sweep"] = {{"one-step", list_json(report.sweep_one_step)},
                    {"length-router", list_json(report.sweep_length)},
                    {"two-step", list_json(report.sweep_two_step)}};
  if (!report.heads.empty()) {
    out["heads"] = OrderedJson::array();
    for (const ReportedHead& h : report.heads)
      out["heads"].push_back({{"path", h.path},
                              {"id", h.id},
                              {"facts", h.facts},
                              {"auroc_fast_fails", number_json(h.auroc)},
                              {"length_spearman", number_json(h.length_spearman)},
                              {"one-step", strategy_json(h.one_step)},
                              {"two-step", h.two_step ? strategy_json(*h.two_step) : OrderedJson()}});
  }
  out["input"] = questions_json(report.input);
  if (report.validation) {
    out["validation"] = questions_json(*report.validation);
    out["validation"]["also_in_input"] = report.validation->also_in_input;
  }
  out["bootstrap"] = {{"resamples", report.bootstrap.resamples}, {"seed", report.bootstrap.seed}};
  for (const auto& entry : report.provenance.items()) out[entry.key()] = entry.value();
  out["kvgauge"] = {{"version", build_info().version}, {"commit", build_info().commit}};
  return out;
}

std::string switch_markdown(const SwitchReport& report) {
  std::string out = fmt::format("{} questions of {}", report.input.n, cell(report.input.path));
  if (report.input.failed > 0)
    put(out, "; {} rows failed, the first: {}", report.input.failed, cell(report.input.first_error));
  if (report.validation)
    put(out, "; settings chosen on {} validation questions of {}", report.validation->n, cell(report.validation->path));
  put(out, ". Intervals: {} bootstrap resamples of the questions, seed {}.\n", report.bootstrap.resamples,
      report.bootstrap.seed);
  put_strategies(out, report);
  put_comparisons(out, report);
  put_choices(out, report);
  put_heads(out, report);
  if (!report.sweep_one_step.empty()) {
    out += "\n## Sweeps\n";
    put_sweep(out, "One-step over tau", report.sweep_one_step);
    put_sweep(out, "Router on prompt length, at the same slow shares", report.sweep_length);
    put_sweep(out, "Two-step settings", report.sweep_two_step);
  }
  return out;
}

}  // namespace kvgauge
