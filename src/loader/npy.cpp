#include "loader/npy.h"

#include <charconv>
#include <cstring>
#include <optional>

#include "core/cat.h"
#include "core/printable.h"
#include "kvgauge/error.h"

namespace kvgauge {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::size_t kAlignment = 64;

struct Header {
  std::string type;
  std::optional<bool> fortran_order;
  std::optional<std::vector<std::int64_t>> shape;
};

/// The Python literal of a header: a dict of strings, truth values and tuples of whole numbers.
class HeaderReader {
 public:
  HeaderReader(std::string_view text, std::string_view where) : text_(text), where_(where) {}

  Header read() {
    Header header;
    expect('{');
    while (!next_is('}')) {
      const std::string key = string();
      expect(':');
      if (key == "descr") {
        header.type = string();
      } else if (key == "fortran_order") {
        header.fortran_order = truth();
      } else if (key == "shape") {
        header.shape = tuple();
      } else {
        fail(cat("the key '", printable(key), "'"));
      }
      if (!next_is('}')) expect(',');
    }
    expect('}');
    if (header.type.empty() || !header.fortran_order || !header.shape)
      fail("a header without descr, fortran_order or shape");
    return header;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw FormatError(cat(where_, ": found ", what, ", the header of a .npy file was needed"));
  }
  void skip_spaces() {
    while (!text_.empty() && (text_[0] == ' ' || text_[0] == '\n')) text_.remove_prefix(1);
  }
  bool next_is(char c) {
    skip_spaces();
    return !text_.empty() && text_[0] == c;
  }
  void expect(char c) {
    if (!next_is(c)) fail(cat("'", printable(text_.substr(0, 20)), "' where '", c, "' belongs"));
    text_.remove_prefix(1);
  }
  std::string string() {
    if (!next_is('\'') && !next_is('"')) fail(cat("'", printable(text_.substr(0, 20)), "' where a string belongs"));
    const std::size_t end = text_.find(text_[0], 1);
    if (end == std::string_view::npos) fail("a string without end");
    const std::string value(text_.substr(1, end - 1));
    text_.remove_prefix(end + 1);
    return value;
  }
  bool truth() {
    skip_spaces();
    for (const bool value : {false, true}) {
      const std::string_view word = value ? "True" : "False";
      if (!text_.starts_with(word)) continue;
      text_.remove_prefix(word.size());
      return value;
    }
    fail(cat("'", printable(text_.substr(0, 20)), "' where True or False belongs"));
  }
  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> numbers;
    expect('(');
    while (!next_is(')')) {
      std::int64_t number = 0;
      const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), number);
      if (error != std::errc() || number < 0) fail(cat("'", printable(text_.substr(0, 20)), "' in the shape"));
      text_.remove_prefix(static_cast<std::size_t>(end - text_.data()));
      numbers.push_back(number);
      if (!next_is(')')) expect(',');
    }
    expect(')');
    return numbers;
  }

  std::string_view text_, where_;
};

template <class T>
std::vector<float> values_of(std::string_view bytes) {
  std::vector<float> values(bytes.size() / sizeof(T));
  for (std::size_t i = 0; i < values.size(); ++i) {
    T value;
    std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
    values[i] = static_cast<float>(value);
  }
  return values;
}

}  // namespace

NpyMatrix parse_npy(std::span<const std::byte> file, std::string_view where) {
  std::string_view bytes(reinterpret_cast<const char*>(file.data()), file.size());
  const std::string what(where);
  if (!bytes.starts_with(kMagic) || bytes.size() < kMagic.size() + 2)
    throw FormatError(cat(what, ": does not begin as a .npy file"));
  const auto byte = [&](std::size_t at) { return static_cast<std::size_t>(static_cast<unsigned char>(bytes[at])); };
  const std::size_t version = byte(kMagic.size());
  if (version < 1 || version > 3) throw ConfigError(cat(what, ": version ", version, " of .npy, 1 to 3 was needed"));
  const std::size_t length_bytes = version == 1 ? 2 : 4, begin = kMagic.size() + 2 + length_bytes;
  if (bytes.size() < begin) throw FormatError(cat(what, ": ends within its header"));
  std::size_t length = 0;
  for (std::size_t i = 0; i < length_bytes; ++i) length |= byte(kMagic.size() + 2 + i) << (8 * i);
  if (bytes.size() - begin < length) throw FormatError(cat(what, ": ends within its header"));
  const Header header = HeaderReader(bytes.substr(begin, length), where).read();
  bytes.remove_prefix(begin + length);

  if (header.type != "<f4" && header.type != "<f8")
    throw ConfigError(cat(what, ": values of type '", printable(header.type), "', '<f4' or '<f8' was needed"));
  if (*header.fortran_order || header.shape->size() != 2)
    throw ConfigError(cat(what, ": an array of ", header.shape->size(), " dimension(s)",
                          *header.fortran_order ? " in Fortran order" : "", ", two in C order were needed"));
  NpyMatrix matrix{.rows = (*header.shape)[0], .columns = (*header.shape)[1], .values = {}};
  const auto value_bytes = static_cast<std::int64_t>(header.type == "<f4" ? sizeof(float) : sizeof(double));
  const std::int64_t most = std::ssize(bytes) / value_bytes;
  const bool fits = matrix.rows == 0 || matrix.columns <= most / matrix.rows;
  if (!fits || matrix.rows * matrix.columns * value_bytes != std::ssize(bytes))
    throw FormatError(
        cat(what, ": ", bytes.size(), " bytes of values for a shape of ", matrix.rows, " x ", matrix.columns));
  matrix.values = header.type == "<f4" ? values_of<float>(bytes) : values_of<double>(bytes);
  return matrix;
}

std::string npy_header(std::int64_t rows, std::int64_t columns) {
  std::string dict = cat("{'descr': '<f4', 'fortran_order': False, 'shape': (", rows, ", ", columns, "), }");
  const std::size_t before = kMagic.size() + 4;
  dict.resize((before + dict.size() + 1 + kAlignment - 1) / kAlignment * kAlignment - before - 1, ' ');
  dict += '\n';
  std::string header(kMagic);
  header += {'\x01', '\x00', static_cast<char>(dict.size() & 0xff), static_cast<char>(dict.size() >> 8)};
  return header + dict;
}

}  // namespace kvgauge
