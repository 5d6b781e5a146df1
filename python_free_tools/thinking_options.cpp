#include "thinking_options.h"

#include <algorithm>

#include "core/cat.h"
#include "kvgauge/error.h"
#include "loader/model_files.h"
#include "option_values.h"
#include "requests.h"

namespace kvgauge::cli {
namespace {

// Of flags that belong to looks, which a dry run has as well.
bool of_looks(const std::string& flag) {
  return flag == "--signal" || flag == "--interval" || flag == "--min-tokens" || flag == "--think-open" ||
         flag == "--think-close" || flag == "--fast-prefix";
}

bool of_tags(const std::string& flag) {
  return flag == "--think-open" || flag == "--think-close" || flag == "--fast-prefix";
}

}  // namespace

std::array<const CLI::Option*, 3> add_tag_options(CLI::App& app, ThinkText& tags) {
  return {add_text(app, "--think-open", tags.open, "TEXT", "begins a think block (from the chat template)"),
          add_text(app, "--think-close", tags.close, "TEXT", "ends it (from the chat template)"),
          add_text(app, "--fast-prefix", tags.fast_prefix, "TEXT", "an empty think block (from the chat template)")};
}

ThinkingSignal parse_signal(const std::string& text) {
  for (const ThinkingSignal signal : {ThinkingSignal::kEntropy, ThinkingSignal::kKvCoe})
    if (text == name(signal)) return signal;
  return ThinkingSignal::kDifficulty;  // options have checked their choices
}

void add_thinking_options(CLI::App& app, ThinkingOptions& o) {
  ControllerSettings& s = o.settings;
  add_text(app, "--difficulty", o.difficulty, "FILE",
           "a head made by `kvgauge train`: adds the difficulty of the prompt; --think auto goes by it");
  app.add_flag("--dry-run", o.dry_run, "look at the signal while the answer runs and record it; switch nothing");
  const auto put = [&](const CLI::Option* option) { o.flags.emplace(option->get_name(), option); };
  put(add_choice(app, "--controller", o.controller, {"default", "paper"},
                 "preset of the flags below; paper: interval 1, one switch, no patience, no cooldown (default)"));
  put(add_choice(app, "--signal", o.signal, {"difficulty", "entropy", "kv-coe"},
                 "what is looked at while the answer runs: the head, the mean entropy in bits since the last look, or "
                 "-kv_coe.normalized.c so far (difficulty)"));
  put(add_real(app, "--tau", s.tau, -1e9, 1e9, "think first if the difficulty is above (50)"));
  put(add_real(app, "--tau-fast", s.tau_fast, -1e9, 1e9, "stop thinking below (30)"));
  put(add_real(app, "--tau-slow", s.tau_slow, -1e9, 1e9, "start thinking above (70)"));
  put(add_count(app, "--interval", s.interval, 1, kMany, "sampled tokens between looks (16)"));
  put(add_count(app, "--max-switches", s.max_switches, 0, 1 << 20, "0: the first mode stays (4)"));
  put(add_count(app, "--min-tokens", s.min_tokens, 0, kMany, "sampled tokens before the first look (32)"));
  put(add_count(app, "--cooldown", s.cooldown, 0, kMany, "tokens after a switch without a look (the head's window)"));
  put(add_count(app, "--patience", s.patience, 1, kMany, "looks in a row that must agree (2)"));
  put(add_real(app, "--ema", s.ema, 0, 0.999999, "weight of earlier looks of the segment (0)"));
  put(app.add_flag("--allow-reopen", s.allow_reopen, "think again after the model has closed its block"));
  put(add_count(app, "--fast-budget", s.fast_budget, 1, kMany, "sampled tokens of one fast segment (2048)"));
  put(add_count(app, "--slow-budget", s.slow_budget, 1, kMany, "sampled tokens of one slow segment (8192)"));
  put(add_count(app, "--total-budget", s.total_budget, 1, kMany, "sampled tokens of the answer (no limit of its own)"));
  put(add_count(app, "--think-budget", s.thinking_budget, 1, kMany,
                "sampled tokens inside think blocks; the block is then closed and the answer goes on (no limit)"));
  for (const CLI::Option* const option : add_tag_options(app, o.text)) put(option);
}

void check_thinking(const PromptOptions& prompts, const ThinkingOptions& o) {
  const bool automatic = prompts.think == "auto";
  if (automatic && o.difficulty.empty())
    throw UsageError("--think: 'auto' starts by the difficulty of the prompt; give a head with --difficulty");
  if (automatic && o.dry_run)
    throw UsageError("--dry-run: it switches nothing, --think auto does; give --think on, off or template");
  if (o.dry_run && o.difficulty.empty() && o.signal == "difficulty")
    throw UsageError("--dry-run: the signal is a head's difficulty; give --difficulty, or another --signal");
  for (const auto& [flag, option] : o.flags) {
    if (option->count() == 0 || automatic || (o.dry_run && of_looks(flag))) continue;
    const bool on = prompts.think == "on" || prompts.think == "off";
    if ((flag == "--think-budget" && prompts.think == "on") || (of_tags(flag) && on)) continue;
    throw UsageError(cat(flag, flag == "--think-budget" ? ": it closes think blocks; give --think on or auto"
                                                        : ": it belongs to --think auto; add it"));
  }
  const ControllerSettings s = controller_settings(o, 0);
  if (automatic && s.tau_fast >= s.tau_slow)
    throw UsageError(cat("--tau-fast: ", s.tau_fast, ", less than --tau-slow ", s.tau_slow, " was needed"));
  if (automatic && o.signal == "difficulty" && !(s.tau_fast < s.tau && s.tau < s.tau_slow))
    throw UsageError(
        cat("--tau: ", s.tau, ", between --tau-fast ", s.tau_fast, " and --tau-slow ", s.tau_slow, " was needed"));
}

void check_thinking(const PromptOptions& prompts, const ThinkingOptions& o, const ScoreSpec& scores) {
  check_thinking(prompts, o);
  if (prompts.think == "auto" && scores.coe)
    throw UsageError(
        "--scores: hidden-state coe needs to know where the prompt ends before it is computed, --think auto finds out "
        "later; drop coe, or give --think on or off");
  if (o.signal == "kv-coe" && !scores.kv_coe)
    throw UsageError("--signal: 'kv-coe' is read off the KV trajectory, which is off; add kv-coe to --scores");
}

ControllerSettings controller_settings(const ThinkingOptions& o, std::int64_t window) {
  ControllerSettings s = o.settings;
  const bool paper = o.controller == "paper";
  const auto preset = [&](const char* flag, std::int64_t& value, std::int64_t as_released) {
    if (paper && !o.given(flag)) value = as_released;
  };
  preset("--interval", s.interval, 1);
  preset("--max-switches", s.max_switches, 1);
  preset("--min-tokens", s.min_tokens, 0);
  preset("--patience", s.patience, 1);
  if (!o.given("--cooldown")) s.cooldown = paper ? 0 : window;
  return s;
}

void read_head(ThinkingOptions& o) {
  if (!o.difficulty.empty()) o.head = read_difficulty_head(o.difficulty);
}

Thinking open_thinking(const PromptOptions& prompts, const ThinkingOptions& o, Engine& engine, bool follow) {
  Thinking thinking;
  std::int64_t window = 0;
  if (o.head) {
    engine.use_difficulty_head(*o.head);
    window = o.head->window.positions;
    thinking.difficulty = true;
  }
  const bool chosen = prompts.think == "on" || prompts.think == "off";
  const bool automatic = prompts.think == "auto";
  const bool budget = o.settings.thinking_budget > 0;
  if (!automatic && !o.dry_run && !budget && !(chosen && (thinking.difficulty || follow || o.gives_tags())))
    return thinking;

  ThinkingSpec spec;
  spec.dry_run = o.dry_run;
  spec.settings = controller_settings(o, window);
  spec.signal = parse_signal(o.signal);
  spec.start = automatic                ? ThinkingStart::kDifficulty
               : prompts.think == "on"  ? ThinkingStart::kSlow
               : prompts.think == "off" ? ThinkingStart::kFast
                                        : ThinkingStart::kPrompt;
  if (!automatic) {  // no controller: budgets are --max-tokens alone
    spec.settings.max_switches = 0;
    spec.settings.fast_budget = spec.settings.slow_budget = kMany;
  }
  if (spec.start != ThinkingStart::kPrompt || engine.chat_template()) {
    try {
      thinking.style = find_think_style(prompter_of(engine), *engine.files().chat_template(), o.text);
      spec.tags = thinking.style->tags;
    } catch (const UsageError&) {
      if (spec.start != ThinkingStart::kPrompt) throw;
    }
  }
  if (spec.start == ThinkingStart::kPrompt) thinking.style.reset();  // the prompt is the template's
  thinking.spec = spec;
  return thinking;
}

void put_settings(OrderedJson& to, const ThinkingOptions& o) {
  if (o.difficulty.empty() && !o.dry_run && o.settings.thinking_budget == 0 && !o.gives_tags()) return;
  const ControllerSettings s = controller_settings(o, -1);
  OrderedJson json = {{"difficulty", o.head ? o.head->id : ""},  // what the head is decides, not where it lies
                      {"dry-run", o.dry_run},
                      {"signal", o.signal},
                      {"tau", s.tau},
                      {"tau-fast", s.tau_fast},
                      {"tau-slow", s.tau_slow},
                      {"interval", s.interval},
                      {"max-switches", s.max_switches},
                      {"min-tokens", s.min_tokens},
                      {"cooldown", s.cooldown < 0 ? OrderedJson("window") : OrderedJson(s.cooldown)},
                      {"patience", s.patience},
                      {"ema", s.ema},
                      {"allow-reopen", s.allow_reopen},
                      {"fast-budget", s.fast_budget},
                      {"slow-budget", s.slow_budget},
                      {"total-budget", s.total_budget},
                      {"think-budget", s.thinking_budget},
                      {"think-open", o.text.open},
                      {"think-close", o.text.close},
                      {"fast-prefix", o.text.fast_prefix}};
  for (const auto& setting : json.items()) to[setting.key()] = setting.value();
}

}  // namespace kvgauge::cli
