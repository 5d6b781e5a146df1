#pragma once
#include <CLI/App.hpp>
#include <array>
#include <map>
#include <optional>
#include <string>

#include "common_options.h"
#include "control/difficulty_head.h"
#include "core/json.h"
#include "engine/think_tags.h"
#include "kvgauge/engine.h"
#include "kvgauge/thinking.h"

namespace kvgauge::cli {

/// Difficulty and thinking, of every verb that generates.
struct ThinkingOptions {
  std::string difficulty;              ///< a head's file
  std::optional<DifficultyHead> head;  ///< what is in it, from read_head() on
  std::string controller = "default", signal = "difficulty";
  bool dry_run = false;
  ControllerSettings settings;  ///< as given; controller_settings() puts the preset below
  ThinkText text;
  std::map<std::string, const CLI::Option*> flags;  ///< by name, of those that belong to a controller

  bool gives_tags() const { return !(text.open.empty() && text.close.empty() && text.fast_prefix.empty()); }
  bool given(const std::string& flag) const { return flags.at(flag)->count() > 0; }
};

/// What the options mean for an opened model.
struct Thinking {
  std::optional<ThinkStyle> style;   ///< where prompts end before think tags
  std::optional<ThinkingSpec> spec;  ///< of requests that a controller follows
  bool difficulty = false;           ///< requests read the head
};

/// --think-open, --think-close and --fast-prefix. @return them
std::array<const CLI::Option*, 3> add_tag_options(CLI::App& app, ThinkText& tags);
/// As `name` has it.
ThinkingSignal parse_signal(const std::string& text);
void add_thinking_options(CLI::App& app, ThinkingOptions& options);
/// Checks of combinations. @throws UsageError
void check_thinking(const PromptOptions& prompts, const ThinkingOptions& options);
/// The same for a run that measures `scores`.
void check_thinking(const PromptOptions& prompts, const ThinkingOptions& options, const ScoreSpec& scores);
/// The preset of --controller with the flags that were given. @param window positions of the head: the default cooldown
ControllerSettings controller_settings(const ThinkingOptions& options, std::int64_t window);
/// Reads the file of --difficulty, if it is given: whether it is this model's head is seen when the model is open.
/// @throws InputError, FormatError
void read_head(ThinkingOptions& options);
/// Finds the think tags and gives the engine its head. @param follow a controller says the mode also where --think on
/// or off fixes the first one and nothing else asks for it @throws UsageError, InputError, FormatError
Thinking open_thinking(const PromptOptions& prompts, const ThinkingOptions& options, Engine& engine,
                       bool follow = false);

void put_settings(OrderedJson& to, const ThinkingOptions& options);

}  // namespace kvgauge::cli
