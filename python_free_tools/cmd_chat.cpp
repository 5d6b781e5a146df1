// kvgauge chat: a conversation in the terminal, or piped lines. Answers go to stdout, all else to stderr.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "cli.h"
#include "common_options.h"
#include "core/cat.h"
#include "core/output_file.h"
#include "core/printable.h"
#include "interruption.h"
#include "kvgauge/error.h"
#include "loader/model_files.h"
#include "option_values.h"
#include "report/jsonl_reader.h"
#include "report/jsonl_writer.h"
#include "requests.h"
#include "text/utf8.h"
#include "thinking_options.h"

namespace kvgauge::cli {
namespace {

constexpr const char* kExamples = R"(
Each line is a turn; /help lists the commands. Ctrl-C ends the running answer, Ctrl-C at the prompt or Ctrl-D leaves.
Examples:
  kvgauge chat
  kvgauge chat --think on
  kvgauge chat --think auto --difficulty head.safetensors          (thinks where it pays, and shows when it does)
  kvgauge chat --model Qwen3-8B --temperature 0.6 --top-p 0.95 --top-k 20 --system "Answer in one sentence."
  printf 'Tom has 3 pens. He buys 4. How many has he?\n' | kvgauge chat --think off --quiet
)";

constexpr const char* kHelp =
    R"(/think on|off|auto|template   think always, never, where the difficulty says so, or as the chat template has it
/system TEXT                  the system prompt from now on; without TEXT: none
/reset                        forget the conversation
/quit                         leave (also Ctrl-D, or Ctrl-C while nothing is running)
//...                         a turn that begins with a slash
Ctrl-C                        end the running answer

The line behind an answer, from left to right, as far as it applies:
d                       difficulty of the question by the head of --difficulty, 0 (easy) to 100 (hard)
fast, slow, answer      answers right away; inside a think block; answers behind a block that the model closed itself.
                        Switches with the number of sampled tokens before them, and the d that made us switch
tokens                  sampled ones, and those that we put in (think tags)
kv_coe.normalized.c     how the KV cache moved while the answer was written, relative to where it ended up. Higher speaks
                        for a right answer. It ranks answers of one model; it is no probability
perplexity              of the sampled tokens under the model: 1 is certain; lower speaks for a right answer
)";

constexpr std::int64_t kSequences = 2;  // pages for the conversation, and for what it leaves behind as think blocks go

struct ChatOptions {
  ModelOptions model;
  PromptOptions prompts;
  ThinkingOptions thinking;
  SamplingOptions sampling;
  const CLI::Option* max_tokens_flag = nullptr;
  std::int64_t max_tokens = 2048, seed = 0;
  std::string system;
  bool quiet = false;
};

// Answers to stdout, remarks to stderr. Escape codes only where a terminal shows them and NO_COLOR is not set.
class Screen {
 public:
  explicit Screen(bool quiet)
      : talks_(::isatty(STDIN_FILENO) == 1), shown_(::isatty(STDOUT_FILENO) == 1), quiet_(quiet) {
    const char* const no_color = std::getenv("NO_COLOR");
    const bool colors = !no_color || *no_color == '\0';
    dims_answers_ = colors && shown_;
    dims_remarks_ = colors && ::isatty(STDERR_FILENO) == 1;
  }

  bool talks() const { return talks_; }  ///< someone sits in front of it
  void prompt() const {
    if (talks_) std::fputs("> ", stderr);
  }
  void answer(std::string_view text, bool thinking) {
    if (text.empty()) return;
    at_line_begin_ = text.back() == '\n';
    std::string clean;
    if (shown_) {  // a model's text must not steer the terminal
      for (const char c : text)
        if (c == '\n' || c == '\t' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f)) clean += c;
      text = clean;
    }
    put(thinking && dims_answers_ ? cat("\033[2m", text, "\033[0m") : std::string(text));
  }
  void end_answer() {
    if (!at_line_begin_) put("\n");
    at_line_begin_ = true;
  }
  /// A line about an answer.
  void remark(const std::string& text) {
    if (quiet_) return;
    if (shown_) end_answer();
    say(dims_remarks_ ? cat("\033[2m[", text, "]\033[0m\n") : cat("[", text, "]\n"));
  }
  /// While an answer runs: only for someone who watches.
  void live_remark(const std::string& text) {
    if (talks_ && shown_) remark(text);
  }
  void say(const std::string& text) const { std::fputs(text.c_str(), stderr); }

 private:
  static void put(std::string_view text) {
    if (write_all(STDOUT_FILENO, text) == text.size()) return;
    if (errno == EPIPE) throw ClosedPipeError("stdout: closed by its reader");
    throw OutputError(cat("stdout: cannot be written: ", std::strerror(errno)));
  }

  bool talks_, shown_, quiet_;
  bool dims_answers_ = false, dims_remarks_ = false, at_line_begin_ = true;
};

std::string number(double value) { return std::isfinite(value) ? fmt::format("{:.4g}", value) : "undefined"; }
std::string difficulty(double d) { return fmt::format("{:.1f}", d); }

std::string switch_text(const ThinkingSwitch& s) {
  std::string text = cat(name(s.to), " at ", s.at);
  if (std::isfinite(s.d)) text += cat(" (d ", difficulty(s.d), ")");
  return text;
}

std::string status(const Finished& finished, const ChatOptions& o) {
  const Answer& answer = finished.answers.front();
  std::string text;
  const auto add = [&](const std::string& part) { text += cat(text.empty() ? "" : " | ", part); };
  if (answer.finish_reason == FinishReason::kCancelled) add("ended by Ctrl-C");
  if (answer.finish_reason == FinishReason::kLength) add("cut: a budget or the context is used up");
  if (std::isfinite(finished.difficulty)) add(cat("d ", difficulty(finished.difficulty)));
  std::int64_t injected = std::ssize(finished.prompt_suffix), sampled = std::ssize(answer.tokens);
  if (answer.thinking) {
    const ThinkingRecord& record = *answer.thinking;
    injected = record.injected;
    sampled = record.sampled;
    if (o.thinking.dry_run) {
      add(cat(record.looks.size(), " looks",
              record.looks.empty() ? "" : cat(", last ", number(record.looks.back().d))));
    } else {
      std::string modes = name(record.first);
      for (const ThinkingSwitch& s : record.switches) modes += cat(" > ", switch_text(s));
      add(modes);
    }
  }
  add(injected > 0 ? cat(sampled, " tokens + ", injected, " put in") : cat(sampled, " tokens"));
  add(cat(finished.cached_tokens, " of ", finished.prompt_tokens, " prompt tokens from the cache"));
  if (answer.kv_coe) add(cat("kv_coe.normalized.c ", number(answer.kv_coe->normalized_c)));
  if (answer.prob) add(cat("perplexity ", number(answer.prob->perplexity)));
  add(fmt::format("{:.1f} s", finished.e2e_ms / 1000));
  return text;
}

class Conversation {
 public:
  Conversation(const ChatOptions& options, Engine& engine)
      : options_(options),
        engine_(engine),
        screen_(options.quiet),
        system_(options.system),
        keeps_thoughts_(template_drops_thinking(prompter_of(engine))) {
    maker_ = {.prompter = prompter_of(engine),
              .sampling = options.sampling.params(options.seed),
              .stop = {.max_tokens = options.max_tokens, .stop = {}},
              .scores = {.kv_coe = true, .prob = true}};
    set_thinking(options.prompts.think);
  }

  int run();

 private:
  void set_thinking(const std::string& mode);
  bool command(const std::string& line);
  void turn(const std::string& text);
  Finished follow(std::int64_t request);
  void remember(const Finished& finished);
  void fail(const std::string& reason);

  const ChatOptions& options_;
  Engine& engine_;
  Screen screen_;
  RequestMaker maker_;
  std::string system_;
  OrderedJson turns_ = OrderedJson::array();
  bool keeps_thoughts_;    ///< in turns_: the template drops them itself
  bool opened_ = false;    ///< the prompt under way ends inside a think block
  std::size_t shown_ = 0;  ///< bytes of the answer
  std::int64_t asked_ = 0, failed_ = 0;
  GracefulInterruption interruption_;
};

void Conversation::set_thinking(const std::string& mode) {
  PromptOptions prompts = options_.prompts;
  prompts.think = mode;
  if (mode == "auto") check_thinking(prompts, options_.thinking);
  check_template(prompts, engine_.files());
  maker_.thinking = open_thinking(prompts, options_.thinking, engine_, true);
  maker_.prompts = prompts;
  // With --think auto the controller's budgets end an answer unless --max-tokens is given as well.
  maker_.stop.max_tokens = mode == "auto" && options_.max_tokens_flag->count() == 0 ? kMany : options_.max_tokens;
}

int Conversation::run() {
  JsonlReader lines("-");
  if (screen_.talks() && !options_.quiet)
    screen_.say(cat("kvgauge: ", engine_.config().name, " on ", engine_.describe(), "\n/help lists the commands\n"));
  for (;;) {
    screen_.prompt();
    const auto line = lines.next();
    if (!line) break;
    if (line->too_long) {
      fail(cat("line ", line->number, ": longer than ", JsonlReader::kLongestLine >> 20, " MiB"));
    } else if (const std::size_t at = find_ill_formed_utf8(line->text); at != std::string::npos) {
      fail(cat("line ", line->number, ": byte ", at + 1, " is not UTF-8"));
    } else if (line->text.front() != '/' || line->text.starts_with("//")) {
      turn(line->text.substr(line->text.starts_with("//") ? 1 : 0));
    } else if (!command(line->text)) {
      return failed_ > 0 && !screen_.talks() ? kRowsFailed : kDone;
    }
    if (interruption_.terminated()) return kInterrupted;
    interruption_.forget();
  }
  if (screen_.talks()) screen_.say("\n");
  if (interruption_.requested()) return kInterrupted;
  return failed_ > 0 && !screen_.talks() ? kRowsFailed : kDone;
}

// @return false to leave
bool Conversation::command(const std::string& line) {
  const std::size_t space = line.find(' ');
  const std::string word = line.substr(0, space);
  const std::size_t first = space == std::string::npos ? space : line.find_first_not_of(' ', space);
  const std::string rest = first == std::string::npos ? "" : line.substr(first);
  const auto done = [&](const std::string& text) {
    if (!options_.quiet) screen_.say(cat("kvgauge: ", text, "\n"));
  };
  if (word == "/quit" || word == "/exit") return false;
  if (word == "/help") {
    screen_.say(kHelp);
  } else if (word == "/reset") {
    turns_.clear();
    done("the conversation is forgotten");
  } else if (word == "/system") {
    system_ = rest;
    done(rest.empty() ? "no system prompt from now on" : "a new system prompt from now on");
  } else if (word == "/think") {
    try {  // a mode that this model or this command line does not have ends nothing
      set_thinking(parse_choice("/think", rest, {"on", "off", "auto", "template"}));
      done(cat("thinking: ", rest));
    } catch (const UsageError& error) {
      fail(error.what());
    }
  } else {
    const std::string meant = closest(word, {"/help", "/quit", "/reset", "/system", "/think"});
    fail(cat("found '", printable(word), "', a command was needed; ",
             meant.empty() ? std::string("/help lists them, //... begins a turn with a slash")
                           : cat("did you mean ", meant, "?")));
  }
  return true;
}

void Conversation::fail(const std::string& reason) {
  ++failed_;
  screen_.say(cat("kvgauge: ", reason, "\n"));
}

void Conversation::turn(const std::string& text) {
  turns_.push_back({{"role", "user"}, {"content", text}});
  InputRow row;
  row.index = asked_++;
  row.messages = OrderedJson::array();
  if (!system_.empty()) row.messages.push_back({{"role", "system"}, {"content", system_}});
  for (const OrderedJson& turn : turns_) row.messages.push_back(turn);
  Request request;
  try {  // a template that cannot render this ends the turn, not the conversation
    request = maker_.generate(row);
  } catch (const RequestError& error) {
    turns_.erase(turns_.size() - 1);
    fail(error.what());
    return;
  }
  opened_ = false;
  if (!maker_.thinking.style) {
    const auto& tokens = request.prompt;
    const std::size_t tail = std::min<std::size_t>(tokens.size(), 16);
    const std::string end =
        engine_.tokenizer().decode({tokens.end() - static_cast<std::ptrdiff_t>(tail), tokens.end()});
    opened_ = end.rfind("<think>") != std::string::npos && behind_thinking(end, {}, false).empty();
  }
  const Finished finished = follow(engine_.submit(std::move(request)));
  if (!finished.error.empty()) {
    screen_.end_answer();
    turns_.erase(turns_.size() - 1);
    fail(cat(finished.error, turns_.empty() ? "" : "; /reset begins a new conversation"));
    return;
  }
  const Answer& answer = finished.answers.front();
  screen_.answer(std::string_view(answer.text).substr(shown_), false);
  screen_.end_answer();
  screen_.remark(status(finished, options_));
  remember(finished);
}

// Shows the answer as it is made.
Finished Conversation::follow(std::int64_t request) {
  shown_ = 0;
  std::optional<ThinkingMode> mode;
  while (engine_.step()) {
    const auto progress = engine_.progress(request);
    if (!progress) break;
    if (progress->mode != mode) {
      if (!mode && std::isfinite(progress->difficulty))
        screen_.live_remark(cat("d ", difficulty(progress->difficulty),
                                progress->mode == ThinkingMode::kSlow ? ": thinks first" : ": answers right away"));
      else if (mode && !options_.thinking.dry_run)
        screen_.live_remark(cat(name(*mode), " > ", name(*progress->mode), " at ", progress->sampled,
                                std::isfinite(progress->signal) ? cat(", d ", number(progress->signal)) : ""));
    }
    const auto before = mode ? mode : progress->mode;  // a tag that ends a block still belongs to it
    screen_.answer(progress->text.substr(shown_), before == ThinkingMode::kSlow);
    shown_ = progress->text.size();
    mode = progress->mode;
    if (interruption_.requested()) engine_.cancel(request);
  }
  auto finished = engine_.next_finished();
  return std::move(*finished);
}

// What later prompts have of this turn: nothing, if the answer came to no word behind its think blocks.
void Conversation::remember(const Finished& finished) {
  const Answer& answer = finished.answers.front();
  const bool slow = answer.thinking && !options_.thinking.dry_run && answer.thinking->first == ThinkingMode::kSlow;
  const ThinkText tags = maker_.thinking.style ? maker_.thinking.style->text : options_.thinking.text;
  const std::string_view behind = behind_thinking(answer.text, tags, opened_ || slow);
  if (behind.empty()) {
    turns_.erase(turns_.size() - 1);
    return;
  }
  turns_.push_back({{"role", "assistant"}, {"content", keeps_thoughts_ ? answer.text : std::string(behind)}});
}

int chat(ChatOptions& o) {
  check_thinking(o.prompts, o.thinking);
  read_head(o.thinking);
  EngineOptions options = engine_options(o.model);
  Engine engine(options);
  if (!engine.chat_template())
    throw UsageError(
        "--model: it has no chat template, a conversation needs one; `kvgauge run --no-chat` serves plain prompts");
  return Conversation(o, engine).run();
}

}  // namespace

Command add_chat(CLI::App& root) {
  CLI::App* const app = root.add_subcommand(
      "chat",
      "A conversation that keeps its KV cache and shows difficulty, thinking mode and confidence of each answer");
  const auto o = std::make_shared<ChatOptions>();
  add_model_options(*app, o->model);
  app->remove_option(app->get_option("--max-batch"));
  o->model.max_batch = kSequences;
  add_choice(*app, "--think", o->prompts.think, {"template", "on", "off", "auto"},
             "think before answering; template: as the chat template has it; auto: where --difficulty says so");
  add_text(*app, "--system", o->system, "TEXT", "the system prompt (none)");
  add_thinking_options(*app, o->thinking);
  o->max_tokens_flag = add_count(*app, "--max-tokens", o->max_tokens, 1, kMany,
                                 "longest answer in sampled tokens (2048; with --think auto the budgets')");
  add_sampling_options(*app, o->sampling);
  add_count(*app, "--seed", o->seed, 0, INT64_MAX, "of sampling (0)");
  app->add_flag("--quiet", o->quiet, "answers and errors only");
  app->footer(kExamples);
  return {app, [o] { return chat(*o); }};
}

}  // namespace kvgauge::cli
