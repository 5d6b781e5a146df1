// kvgauge: parses the command line, runs one verb, maps exceptions to exit codes. Each verb is in its cmd_<verb>.cpp.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <new>
#include <vector>

#include "cli.h"
#include "core/cat.h"
#include "core/printable.h"
#include "engine/open_backend.h"
#include "interruption.h"
#include "kvgauge/error.h"
#include "option_values.h"
#include "report/build_info.h"
#include "report/jsonl_writer.h"

namespace kvgauge::cli {
namespace {

constexpr const char* kFooter = R"(
A first job:
  kvgauge run --input questions.jsonl --output answers.jsonl
  kvgauge grade --dataset gsm8k --input answers.jsonl --output graded.jsonl
  kvgauge evaluate --input graded.jsonl

kvgauge VERB --help explains a verb. Exit codes: 0 done, 1 some rows failed, 2 bad command line, 3 bad model or input file,
4 device, memory or output error, 130 interrupted (--resume goes on).
)";

void print_version() {
  const BuildInfo& info = build_info();
  std::printf("kvgauge %s (commit %s)\nbuild: %s\ndevices: %s\ncpu: %s\n", info.version.c_str(), info.commit.c_str(),
              info.options.c_str(), device_features().c_str(), cpu_features().c_str());
}

// An unknown flag or verb, with the one that was probably meant.
UsageError unknown(const CLI::App& app, const std::string& where, const std::string& word) {
  std::vector<std::string> known;
  const std::string name = word.substr(0, word.find('='));
  if (name.starts_with("-")) {
    for (const CLI::Option* const option : app.get_options())
      for (const std::string& flag : option->get_lnames()) known.push_back("--" + flag);
  } else {
    for (const CLI::App* const verb : app.get_subcommands([](const CLI::App*) { return true; }))
      known.push_back(verb->get_name());
  }
  const std::string meant = closest(name, known);
  const std::string needed = name.starts_with("-") ? "a flag that is in --help"
                             : known.empty()       ? "no further word"
                                                   : "one of " + join(known, ", ");
  return UsageError(cat(where, "found '", printable(name), "', ", needed, " was needed",
                        meant.empty() ? "" : cat("; did you mean ", meant, "?")));
}

int run(int argc, char** argv) {
  CLI::App root(
      "kvgauge: runs language models and reads gauges off their KV cache: answers with scores of how likely they are "
      "right",
      "kvgauge");
  std::vector<Command> commands;
  for (const auto add : {add_run, add_chat, add_score, add_grade, add_evaluate, add_embed, add_classify, add_label, add_train,
                         add_switch_eval, add_inspect, add_tokenize, add_bench})
    commands.push_back(add(root));
  root.get_formatter()->label("SUBCOMMAND", "VERB");
  root.get_formatter()->label("Subcommands", "Verbs");
  bool version = false;
  root.add_flag("--version", version, "version, commit, build options, processor features");
  root.footer(kFooter);
  root.require_subcommand(0, 1);
  for (const Command& command : commands) command.app->allow_extras();
  root.allow_extras();

  const std::string verb = argc > 1 ? argv[1] : "";
  const auto is_verb = [&](const Command& command) { return command.app->get_name() == verb; };
  if (argc > 1 && !verb.starts_with("-") && std::none_of(commands.begin(), commands.end(), is_verb))
    throw unknown(root, "", verb);
  try {
    root.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {  // of the verb, if one stands before --help
    std::fputs(root.help().c_str(), stdout);
    return kDone;
  }
  for (const Command& command : commands) {
    if (!command.app->parsed()) continue;
    const CLI::App* app = command.app;
    std::string name = app->get_name();
    for (auto inner = app->get_subcommands(); !inner.empty(); inner = app->get_subcommands()) {
      if (const auto extras = app->remaining(); !extras.empty()) throw unknown(*app, name + ": ", extras.front());
      app = inner.front();
      name += " " + app->get_name();
    }
    if (const auto extras = app->remaining(); !extras.empty()) throw unknown(*app, name + ": ", extras.front());
    return command.run();
  }
  if (const auto extras = root.remaining(); !extras.empty()) throw unknown(root, "", extras.front());
  if (!version)
    throw UsageError(
        "no verb given, one of run, chat, score, grade, evaluate, embed, classify, label, train, switch-eval, inspect, "
        "tokenize was needed; kvgauge "
        "--help shows how");
  print_version();
  return kDone;
}

int report(const char* message, int code) {
  std::fputs(cat("kvgauge: ", message, "\n").c_str(), stderr);
  return code;
}

int main_of(int argc, char** argv) {
  install_signal_handlers();
  try {
    return run(argc, argv);
  } catch (const CLI::ParseError& error) {
    return report(error.what(), kBadUsage);
  } catch (const UsageError& error) {
    return report(error.what(), kBadUsage);
  } catch (const ClosedPipeError&) {
    return kBadDevice;  // quiet: whoever read our output has left
  } catch (const OutputError& error) {
    return report(error.what(), kBadDevice);
  } catch (const DeviceError& error) {
    return report(error.what(), kBadDevice);
  } catch (const Error& error) {
    return report(error.what(), kBadInput);
  } catch (const std::bad_alloc&) {
    return report("memory: out of memory; lower --kv-memory or --max-batch", kBadDevice);
  } catch (const std::exception& error) {
    return report(error.what(), kBadDevice);
  }
}

}  // namespace
}  // namespace kvgauge::cli

int main(int argc, char** argv) { return kvgauge::cli::main_of(argc, argv); }
