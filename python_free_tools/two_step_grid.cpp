#include "two_step_grid.h"

#include "core/cat.h"
#include "core/printable.h"
#include "kvgauge/error.h"
#include "option_values.h"
#include "thinking_options.h"

namespace kvgauge::cli {
namespace {

constexpr double kFar = 1e9;
constexpr std::string_view kKeep = "keep:";

std::vector<std::string> items(const char* flag, const std::string& list) {
  const auto out = split_list(list);
  if (out.empty()) throw UsageError(cat(flag, ": found '', a value or a list was needed"));
  return out;
}

std::vector<double> reals(const char* flag, const std::string& list) {
  std::vector<double> out;
  for (const std::string& item : items(flag, list)) out.push_back(parse_real(flag, item, -kFar, kFar));
  return out;
}

std::vector<std::int64_t> counts(const char* flag, const std::string& list, std::int64_t least) {
  std::vector<std::int64_t> out;
  for (const std::string& item : items(flag, list)) out.push_back(parse_count(flag, item, least, kMany));
  return out;
}

double kept_share(const std::string& item) { return parse_real("--two-step-tau", item.substr(kKeep.size()), 0, 10); }

bool starts_by_difficulty(const TwoStepOptions& o) { return o.start == "difficulty"; }

}  // namespace

void add_two_step_options(CLI::App& app, TwoStepOptions& o) {
  const auto put = [&](const CLI::Option* option) { o.flags.emplace_back(option->get_name(), option); };
  app.add_flag("--no-two-step", o.off, "one-step only: nothing is generated but always-fast and always-slow");
  put(add_choice(app, "--start", o.start, {"difficulty", "slow", "fast"},
                 "two-step's first mode: by d of the prompt, or always the same (difficulty)"));
  put(add_choice(app, "--signal", o.signal, {"difficulty", "entropy"},
                 "what two-step looks at while the answer runs, as in `kvgauge run` (difficulty)"));
  put(add_text(app, "--two-step-tau", o.tau, "LIST",
               "two-step thinks first above: numbers, one-step (its tau), keep:X (what keeps X on --validation) "
               "(one-step)"));
  put(add_text(app, "--tau-fast", o.tau_fast, "LIST", "stop thinking below (30)"));
  put(add_text(app, "--tau-slow", o.tau_slow, "LIST", "start thinking above (70)"));
  put(add_text(app, "--interval", o.interval, "LIST", "sampled tokens between looks (16)"));
  put(add_text(app, "--patience", o.patience, "LIST", "looks in a row that must agree (2)"));
  put(add_text(app, "--min-tokens", o.min_tokens, "LIST", "sampled tokens before the first look (32)"));
  put(add_count(app, "--cooldown", o.cooldown, 0, kMany, "tokens after a switch without a look (the head's window)"));
  put(add_count(app, "--max-switches", o.max_switches, 1, 1 << 20, "of one answer (4)"));
  put(add_real(app, "--ema", o.ema, 0, 0.999999, "weight of earlier looks of the segment (0)"));
  put(app.add_flag("--allow-reopen", o.allow_reopen, "think again after the model has closed its block"));
  put(add_count(app, "--total-budget", o.total_budget, 1, kMany, "sampled tokens of a two-step answer (no limit)"));
  put(add_count(app, "--think-budget", o.thinking_budget, 1, kMany,
                "sampled tokens inside a two-step answer's think blocks; the block is then closed (no limit)"));
  add_count(app, "--fast-budget", o.fast_budget, 1, kMany, "sampled tokens of one fast segment (2048)");
  add_count(app, "--slow-budget", o.slow_budget, 1, kMany, "sampled tokens of one slow segment (8192)");
}

void check_two_step(const TwoStepOptions& o, bool choosing, const std::string& one_step_tau) {
  for (const auto& [flag, option] : o.flags)
    if (o.off && option->count() > 0)
      throw UsageError(cat(flag, ": it belongs to two-step, which --no-two-step leaves out; drop one of them"));
  if (o.off) return;
  bool is_known = true;
  for (const std::string& item : items("--two-step-tau", o.tau)) {
    const bool keeps = item.starts_with(kKeep);
    if (keeps) kept_share(item);
    if (!keeps && item != "one-step") parse_real("--two-step-tau", item, -kFar, kFar);
    if (keeps && !choosing)
      throw UsageError(
          cat("--two-step-tau: '", printable(item), "' is chosen on --validation, which is not given; add it"));
    is_known = is_known && !keeps && (item != "one-step" || !one_step_tau.empty() || !choosing);
    if (o.start != "difficulty" && item != "one-step")
      throw UsageError(cat("--two-step-tau: --start ", o.start, " does not go by d of the prompt; drop one of them"));
  }
  const double tau = one_step_tau.empty() ? ControllerSettings{}.tau : parse_real("--tau", one_step_tau, -kFar, kFar);
  const auto grid = two_step_grid(o, tau, [](double) { return 0.0; });
  if (grid.size() > 1 && !choosing)
    throw UsageError(cat("--validation: not given, and the two-step flags make ", grid.size(),
                         " settings; give questions to choose on, or one value each"));
  if (!is_known && starts_by_difficulty(o)) return;
  for (const TwoStepSetting& setting : grid)
    if (const std::string reason = reason_to_refuse(o, setting); !reason.empty()) throw UsageError(reason);
}

std::vector<TwoStepSetting> two_step_grid(const TwoStepOptions& o, double one_step_tau,
                                          const std::function<double(double)>& tau_for) {
  std::vector<TwoStepSetting> grid;
  for (const std::string& tau : items("--two-step-tau", o.tau)) {
    const double value = tau == "one-step"        ? one_step_tau
                         : tau.starts_with(kKeep) ? tau_for(kept_share(tau))
                                                  : parse_real("--two-step-tau", tau, -kFar, kFar);
    for (const double tau_fast : reals("--tau-fast", o.tau_fast))
      for (const double tau_slow : reals("--tau-slow", o.tau_slow))
        for (const std::int64_t interval : counts("--interval", o.interval, 1))
          for (const std::int64_t patience : counts("--patience", o.patience, 1))
            for (const std::int64_t min_tokens : counts("--min-tokens", o.min_tokens, 0))
              grid.push_back({.tau_from = tau,
                              .tau = value,
                              .tau_fast = tau_fast,
                              .tau_slow = tau_slow,
                              .interval = interval,
                              .patience = patience,
                              .min_tokens = min_tokens});
  }
  return grid;
}

std::string reason_to_refuse(const TwoStepOptions& o, const TwoStepSetting& s) {
  if (!(s.tau_fast < s.tau_slow))
    return cat("--tau-fast: ", s.tau_fast, ", less than --tau-slow ", s.tau_slow, " was needed");
  if (starts_by_difficulty(o) && o.signal == "difficulty" && !(s.tau_fast < s.tau && s.tau < s.tau_slow))
    return cat("--two-step-tau: ", s.tau_from,
               s.tau_from == "one-step" || s.tau_from.starts_with(kKeep) ? cat(" is ", s.tau) : "",
               ", between --tau-fast ", s.tau_fast, " and --tau-slow ", s.tau_slow, " was needed");
  return "";
}

ThinkingSpec thinking_spec(const TwoStepOptions& o, const TwoStepSetting& s, const ThinkTags& tags,
                           std::int64_t window) {
  ThinkingSpec spec;
  spec.start = o.start == "slow"   ? ThinkingStart::kSlow
               : o.start == "fast" ? ThinkingStart::kFast
                                   : ThinkingStart::kDifficulty;
  spec.signal = parse_signal(o.signal);
  spec.tags = tags;
  spec.settings = {.tau = s.tau,
                   .tau_fast = s.tau_fast,
                   .tau_slow = s.tau_slow,
                   .interval = s.interval,
                   .max_switches = o.max_switches,
                   .min_tokens = s.min_tokens,
                   .cooldown = o.cooldown < 0 ? window : o.cooldown,
                   .patience = s.patience,
                   .ema = o.ema,
                   .allow_reopen = o.allow_reopen,
                   .fast_budget = o.fast_budget,
                   .slow_budget = o.slow_budget,
                   .total_budget = o.total_budget,
                   .thinking_budget = o.thinking_budget};
  return spec;
}

OrderedJson setting_json(const TwoStepOptions& o, const TwoStepSetting& s, const std::string& head,
                         std::int64_t window) {
  OrderedJson out = {{"start", o.start}};
  if (starts_by_difficulty(o)) out["tau"] = s.tau;
  out.update({{"tau_fast", s.tau_fast},
              {"tau_slow", s.tau_slow},
              {"interval", s.interval},
              {"patience", s.patience},
              {"min_tokens", s.min_tokens},
              {"max_switches", o.max_switches},
              {"cooldown", o.cooldown < 0 ? window : o.cooldown},
              {"ema", o.ema},
              {"allow_reopen", o.allow_reopen},
              {"signal", o.signal},
              {"total_budget", o.total_budget},
              {"think_budget", o.thinking_budget},
              {"head", head}});
  return out;
}

}  // namespace kvgauge::cli
