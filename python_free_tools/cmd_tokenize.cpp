#include <algorithm>
#include <charconv>
#include <fstream>
#include <iostream>
#include <memory>

#include "cli.h"
#include "common_options.h"
#include "core/cat.h"
#include "core/json.h"
#include "core/printable.h"
#include "kvgauge/error.h"
#include "loader/model_files.h"
#include "option_values.h"
#include "report/jsonl_writer.h"
#include "report/output_row.h"
#include "text/tokenizer.h"

namespace kvgauge::cli {
namespace {

constexpr const char* kExamples = R"(
Examples:
  kvgauge tokenize --text "Hello, world"                          {"ids":[...],"tokens":[...]}
  kvgauge tokenize --model SmolLM2.gguf --input lines.txt         one JSON line per line of text
  kvgauge tokenize --decode --text "1020 314 198"                 {"text":"..."}
)";

struct TokenizeOptions {
  std::string model, input = "-", text;
  bool decode = false, add_special = false, skip_special = false;
};

// "1 2 3", "1,2,3", "[1, 2, 3]" or a row with ids or output_ids.
std::vector<std::int32_t> ids_of(const std::string& line, const std::string& where) {
  std::string numbers = line;
  if (line.starts_with("{")) {
    const Json row = parse_json(line, where);
    numbers = row.contains("ids")          ? row["ids"].dump()
              : row.contains("output_ids") ? row["output_ids"].dump()
                                           : throw FormatError(cat(where, ": no 'ids' in the row"));
  }
  std::vector<std::int32_t> ids;
  for (const char *at = numbers.data(), *const end = at + numbers.size(); at != end;) {
    if (std::string_view(" ,[]\t\r").find(*at) != std::string_view::npos) {
      ++at;
      continue;
    }
    std::int32_t id = 0;
    const auto [rest, error] = std::from_chars(at, end, id);
    if (error != std::errc() || id < 0)
      throw FormatError(cat(where, ": found '", printable(std::string_view(at, static_cast<std::size_t>(end - at)), 40),
                            "', a token id was needed"));
    ids.push_back(id);
    at = rest;
  }
  return ids;
}

OrderedJson encoded(const Tokenizer& tokenizer, const std::string& text, bool add_special) {
  OrderedJson row = OrderedJson::object();
  row["ids"] = tokenizer.encode(text, {.parse_added = true, .add_special = add_special});
  row["tokens"] = OrderedJson::array();
  for (const OrderedJson& id : row["ids"])
    row["tokens"].push_back(std::string(tokenizer.token_bytes(id.get<std::int32_t>())));
  return row;
}

int tokenize(const TokenizeOptions& o, bool has_text) {
  if (o.decode && o.add_special) throw UsageError("--add-special: it is for encoding; drop it or --decode");
  if (!o.decode && o.skip_special) throw UsageError("--skip-special: it is for decoding; add --decode");
  if (has_text && o.input != "-") throw UsageError("--input: --text is given as well; drop one of them");
  std::ifstream file;
  if (!has_text && o.input != "-") {
    file.open(o.input, std::ios::binary);
    if (!file) throw InputError(cat(o.input, ": cannot be opened"));
  }
  const std::string model = model_path(o.model);
  const Tokenizer tokenizer(ModelFiles::open(model).tokenizer(), model);
  JsonlWriter output(1, "stdout", false);
  std::int64_t number = 0;
  const auto write = [&](const std::string& line) {
    const std::string where = has_text ? "--text" : cat(o.input == "-" ? "stdin" : o.input, ":", ++number);
    output.write(to_line(o.decode ? OrderedJson{{"text", tokenizer.decode(ids_of(line, where), o.skip_special)}}
                                  : encoded(tokenizer, line, o.add_special)));
  };
  if (has_text) {
    write(o.text);
    return kDone;
  }
  std::istream& in = o.input == "-" ? std::cin : file;
  for (std::string line; std::getline(in, line);) write(line);
  if (in.bad()) throw InputError(cat(o.input, ": reading failed"));
  return kDone;
}

}  // namespace

Command add_tokenize(CLI::App& root) {
  CLI::App* const app = root.add_subcommand("tokenize", "Text to token ids, or back with --decode");
  const auto o = std::make_shared<TokenizeOptions>();
  add_text(*app, "--model", o->model, "PATH",
           "Hugging Face folder or .gguf file; left out: the embedded tiny-reasoner");
  CLI::Option* const text =
      add_text(*app, "--text", o->text, "TEXT", "the text (or ids); left out: the lines of --input");
  add_text(*app, "--input", o->input, "FILE", "lines of text, or - for stdin (the default)");
  app->add_flag("--decode", o->decode, "ids to text");
  app->add_flag("--add-special", o->add_special, "put the tokens around that the tokenizer adds (BOS, EOS)");
  app->add_flag("--skip-special", o->skip_special, "leave special tokens out of decoded text");
  app->footer(kExamples);
  return {app, [o, text] { return tokenize(*o, text->count() > 0); }};
}

}  // namespace kvgauge::cli
