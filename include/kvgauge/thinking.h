#pragma once
#include <cstdint>
#include <vector>

#include "kvgauge/scores.h"

namespace kvgauge {

/// What a response is doing: it answers right away, it is inside a think block, or it answers after a think block that
/// the model closed by itself.
enum class ThinkingMode : std::uint8_t { kFast, kSlow, kAnswer };
const char* name(ThinkingMode mode);  ///< fast, slow, answer

/// When to think and when to stop (METHOD.md G.3). d is the signal, 0 (easy) to 100 (hard) for a difficulty head;
/// thresholds are strict. Counts are of sampled tokens, end-of-text included.
struct ControllerSettings {
  double tau = 50;                ///< first mode: slow if d > tau
  double tau_fast = 30;           ///< a slow segment is closed at d < tau_fast
  double tau_slow = 70;           ///< a fast one is opened at d > tau_slow
  std::int64_t interval = 16;     ///< tokens between looks, counted from the segment's start
  std::int64_t max_switches = 4;  ///< 0: one-step, the first mode stays
  std::int64_t min_tokens = 32;   ///< before the first look
  std::int64_t cooldown = 0;      ///< tokens after a switch without a look
  std::int64_t patience = 2;      ///< looks in a row that must agree
  double ema = 0;                 ///< d <- ema d_prev + (1 - ema) d; starts anew with each segment
  bool allow_reopen = false;      ///< an answer behind a block that the model closed may be opened again
  std::int64_t fast_budget = 2048, slow_budget = 8192;  ///< tokens of one segment; its end ends the response
  std::int64_t total_budget = 0;                        ///< of all segments; 0: none
  std::int64_t thinking_budget =
      0;  ///< tokens inside think blocks, over all segments; the block is then closed; 0: none
};

/// What is put into a response, and what to look for in it, as tokens of the model. Made of the chat template and the
/// tokenizer (engine/think_tags.h), never of fixed numbers.
struct ThinkTags {
  std::vector<std::int32_t> open;         ///< begins a think block: `<think>\n`
  std::vector<std::int32_t> close;        ///< ends it: `</think>\n\n`
  std::vector<std::int32_t> fast_prefix;  ///< an empty block: `<think>\n</think>\n\n` or as the template has it
  std::vector<std::int32_t> end;          ///< `</think>` alone: the model closed the block; may be several tokens
};

/// How the first mode is found.
enum class ThinkingStart : std::uint8_t {
  kDifficulty,  ///< by d of the prompt
  kSlow,
  kFast,
  kPrompt,  ///< the prompt says it: nothing is put behind it
};

/// What the controller looks at while a response runs.
enum class ThinkingSignal : std::uint8_t {
  kDifficulty,  ///< the head's d over a window that ends with the newest token
  kEntropy,     ///< mean entropy of the tokens since the last look, bits
  kKvCoe,       ///< `normalized` C of the KV trajectory so far, negated: higher = more doubtful
};
const char* name(ThinkingSignal signal);  ///< difficulty, entropy, kv-coe

/// Think tags injected while a request runs.
struct ThinkingSpec {
  ThinkingStart start = ThinkingStart::kDifficulty;
  ThinkingSignal signal = ThinkingSignal::kDifficulty;
  bool dry_run = false;  ///< looks are recorded; nothing is injected but what `start` says
  bool record = false;   ///< every look is kept in the answer, also without dry_run
  ControllerSettings settings = {};
  ThinkTags tags = {};
};

/// A switch from one mode to another. Behind a close of the model's own, `d` is NaN and nothing was injected; behind
/// one that the thinking budget forced, `d` is NaN.
struct ThinkingSwitch {
  std::int64_t at = 0;  ///< sampled tokens before it
  ThinkingMode from = ThinkingMode::kFast, to = ThinkingMode::kFast;
  double d = kUndefined;
  std::int64_t injected = 0;  ///< tokens put in
};

/// One look of the controller.
struct ThinkingLook {
  std::int64_t at = 0;  ///< sampled tokens before it; 0: at the end of the prompt
  double d = kUndefined;
};

/// What became of it (METHOD.md G.4).
struct ThinkingRecord {
  ThinkingMode first = ThinkingMode::kFast, last = ThinkingMode::kFast;
  std::vector<ThinkingSwitch> switches;
  std::vector<ThinkingLook> looks;  ///< if they were to be kept
  std::int64_t probes = 0;          ///< evaluations of the signal, the prompt's included
  std::int64_t sampled = 0;         ///< all sampled tokens
  std::int64_t injected = 0;        ///< all injected ones, those behind the prompt included
  std::int64_t prefix = 0;          ///< of those, put behind the prompt before the first sampled token
  std::int64_t last_segment = 0;    ///< sampled tokens behind the last switch: what the paper counts
  std::int64_t processed() const { return sampled + injected; }
};

}  // namespace kvgauge
