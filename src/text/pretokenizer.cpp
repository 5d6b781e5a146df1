#include "text/pretokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <cstdint>

#include "core/cat.h"
#include "core/printable.h"
#include "kvgauge/error.h"
#include "text/utf8.h"

namespace kvgauge {
namespace {

// White_Space of PropList.txt and its complement, as the inside of a character class.
constexpr std::string_view kSpace =
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";
constexpr std::string_view kNotSpace =
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}"
    "\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{10ffff}";

constexpr std::size_t kMaxPatternBytes = 16 * 1024;

[[noreturn]] void refuse(std::string_view where, std::string_view pattern, std::string_view construct) {
  throw ConfigError(cat(where, ": split pattern '", printable(pattern), "': ", construct, " is not supported"));
}

struct CodeDeleter {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct Code {
  std::unique_ptr<pcre2_code, CodeDeleter> code;
  bool jit = false;
};

// What one matching thread writes to; compiled patterns are shared.
struct Scratch {
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  Scratch() = default;
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
  }
};

Scratch& scratch() {
  thread_local Scratch instance;
  if (!instance.data || !instance.context) throw std::bad_alloc();
  return instance;
}

Code compile(const std::string& pattern, std::string_view where) {
  const std::string source = to_pcre2_pattern(pattern, where);
  struct ContextDeleter {
    void operator()(pcre2_compile_context* context) const { pcre2_compile_context_free(context); }
  };
  const std::unique_ptr<pcre2_compile_context, ContextDeleter> context(pcre2_compile_context_create(nullptr));
  if (!context) throw std::bad_alloc();
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  // MULTILINE: in the published syntax ^ and $ always match at lines.
  Code result;
  result.code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(source.data()), source.size(),
                                  PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &offset,
                                  context.get()));
  if (!result.code) {
    PCRE2_UCHAR message[256];
    pcre2_get_error_message(error, message, sizeof message);
    throw ConfigError(cat(where, ": split pattern '", printable(pattern),
                          "' does not compile: ", reinterpret_cast<const char*>(message)));
  }
  result.jit = pcre2_jit_compile(result.code.get(), PCRE2_JIT_COMPLETE) == 0;  // without JIT the interpreter is used
  return result;
}

// Finds the next match at or after `start`. @return false if there is none
bool find(const Code& code, std::string_view text, std::size_t start, std::size_t& begin, std::size_t& end) {
  Scratch& own = scratch();
  const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  int result = PCRE2_ERROR_JIT_STACKLIMIT;
  if (code.jit) result = pcre2_jit_match(code.code.get(), subject, text.size(), start, 0, own.data, own.context);
  if (result == PCRE2_ERROR_JIT_STACKLIMIT)
    result = pcre2_match(code.code.get(), subject, text.size(), start, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, own.data,
                         own.context);
  if (result == PCRE2_ERROR_NOMATCH) return false;
  if (result < 0)
    throw RequestError(
        cat("tokenizer: the split pattern fails at byte ", start, " of ", text.size(), " (PCRE2 error ", result, ")"));
  const PCRE2_SIZE* const bounds = pcre2_get_ovector_pointer(own.data);
  begin = bounds[0];
  end = bounds[1];
  return true;
}

}  // namespace

std::string literal_pattern(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = static_cast<unsigned char>(c) >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                       (c >= 'A' && c <= 'Z');
    if (plain)
      out += c;
    else
      fmt::format_to(std::back_inserter(out), "\\x{{{:x}}}", static_cast<unsigned>(c));
  }
  return out;
}

std::string to_pcre2_pattern(std::string_view pattern, std::string_view where) {
  if (pattern.size() > kMaxPatternBytes)
    throw ConfigError(
        cat(where, ": split pattern of ", pattern.size(), " bytes, at most ", kMaxPatternBytes, " are supported"));
  if (find_ill_formed_utf8(pattern) != std::string_view::npos)
    throw FormatError(cat(where, ": split pattern: found ill-formed UTF-8, text was needed"));
  std::string out;
  bool in_class = false;
  std::size_t class_start = 0;  // where a ']' would stand for itself
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char next = pattern[++i];
      if (next == 's' || next == 'S') {
        const std::string_view list = next == 's' ? kSpace : kNotSpace;
        out += in_class ? std::string(list) : cat("[", list, "]");
      } else if (std::string_view("wWbBhHQERXKGZyYkgcCMN").find(next) != std::string_view::npos) {
        refuse(where, pattern, cat("'\\", next, "'"));
      } else {
        out += c;
        out += next;
      }
    } else if (!in_class && c == '[') {
      in_class = true;
      out += c;
      if (i + 1 < pattern.size() && pattern[i + 1] == '^') out += pattern[++i];
      class_start = i + 1;
    } else if (in_class && c == ']' && i != class_start) {
      in_class = false;
      out += c;
    } else if (in_class && c == '[') {
      if (pattern.substr(i, 9) == "[:space:]") {
        out += kSpace;
        i += 8;
      } else if (pattern.substr(i, 10) == "[:^space:]") {
        out += kNotSpace;
        i += 9;
      } else {
        refuse(where, pattern, "'[' inside a character class");
      }
    } else if (in_class && pattern.substr(i, 2) == "&&") {
      refuse(where, pattern, "'&&' inside a character class");
    } else if (!in_class && c == '(' &&
               (pattern.substr(i, 2) == "(*" || pattern.substr(i, 3) == "(?C" || pattern.substr(i, 3) == "(?#")) {
      refuse(where, pattern, cat("'", pattern.substr(i, 3), "'"));
    } else {
      out += c;
    }
  }
  return out;
}

struct Pretokenizer::Impl {
  std::vector<Code> codes;

  void split(std::size_t level, std::string_view text, std::vector<std::string_view>& pieces) const {
    if (text.empty()) return;
    if (level == codes.size()) {
      pieces.push_back(text);
      return;
    }
    std::size_t done = 0;  // text before it is cut
    std::size_t start = 0, begin = 0, end = 0;
    while (start <= text.size() && find(codes[level], text, start, begin, end)) {
      if (begin < start || end < begin) break;  // a look-around moved the bounds backwards: nothing to cut
      split(level + 1, text.substr(done, begin - done), pieces);
      split(level + 1, text.substr(begin, end - begin), pieces);
      done = start = end;
      if (begin == end) start += end < text.size() ? read_utf8(text.substr(end)).bytes : 1;
    }
    split(level + 1, text.substr(done), pieces);
  }
};

Pretokenizer::Pretokenizer(const std::vector<std::string>& patterns, std::string_view where)
    : impl_(std::make_unique<Impl>()) {
  constexpr std::size_t kMaxPatterns = 16;
  if (patterns.size() > kMaxPatterns)
    throw ConfigError(cat(where, ": ", patterns.size(), " split patterns, at most ", kMaxPatterns, " are supported"));
  for (const std::string& pattern : patterns) impl_->codes.push_back(compile(pattern, where));
}
Pretokenizer::Pretokenizer(Pretokenizer&&) noexcept = default;
Pretokenizer& Pretokenizer::operator=(Pretokenizer&&) noexcept = default;
Pretokenizer::~Pretokenizer() = default;

void Pretokenizer::split(std::string_view text, std::vector<std::string_view>& pieces) const {
  constexpr std::size_t kMaxSteps = UINT32_MAX;
  pcre2_set_match_limit(scratch().context, static_cast<std::uint32_t>(std::min(kMaxSteps, 100'000 + 64 * text.size())));
  impl_->split(0, text, pieces);
}

}  // namespace kvgauge
