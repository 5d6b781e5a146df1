#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"

namespace kvgauge {

/// A column of a benchmark's tables for people: a field of its rows, times `scale`, with `places` decimals (negative:
/// as it is). A field that is an array of two numbers is shown as a range.
struct BenchColumn {
  std::string field, title;
  int places = -1;
  double scale = 1;
};

/// How a benchmark's rows are drawn in the HTML report.
struct BenchFigure {
  enum class Kind : std::uint8_t {
    kIntervals,  ///< a line per row: `fields[0]` with the range `fields[1]`; `mark` is a vertical line
    kLines,      ///< `fields[0]` over the key `over`, with the range `fields[1]` if there is one; a line per other key
    kStacked,    ///< a bar per row, made of `fields`
  };
  Kind kind = Kind::kLines;
  std::string caption, axis;  ///< the axis of the values, with its unit
  std::vector<std::string> fields;
  std::vector<std::string> names = {};  ///< as the legend has them: kStacked of the parts, kIntervals of the one series
  std::string over = {};
  double scale = 1;
  std::optional<double> mark = {};
};

/// Rows of an earlier report beside those of this one.
struct BenchComparison {
  std::string file;
  std::vector<std::string> differences;  ///< "threads: 2 then, 4 now", of machine and settings
  std::vector<OrderedJson> rows;         ///< keys, and for each measure `<measure>_ratio` = new / old (null: undefined)
  std::int64_t only_now = 0, only_then = 0;
};

/// What a benchmark found.
struct BenchReport {
  std::string benchmark;
  std::string title;
  OrderedJson machine = OrderedJson::object(), settings = OrderedJson::object();
  std::vector<std::string> keys;      ///< fields that name a row
  std::vector<std::string> measures;  ///< fields that are compared with another report's
  std::vector<BenchColumn> columns;
  std::vector<BenchFigure> figures;
  std::vector<std::string> notes;  ///< how it was measured, a sentence or two each
  std::vector<OrderedJson> rows;
  std::string markdown;  ///< tables for Markdown in place of one of all columns; may be empty
  bool timed = true;     ///< rows hold times, which other work on the machine disturbs
  bool complete = true;  ///< false: it was interrupted, rows are missing
  std::optional<BenchComparison> comparison;
};

/// {"benchmark","complete","machine","settings","rows"[,"comparison"]}
std::string bench_json(const BenchReport& report);
/// A row a line, each with "benchmark" and "machine"; a comparison's rows are not part of it.
std::string bench_jsonl(const BenchReport& report);
/// A header, then a row a line: its fields, then machine_... ; arrays and objects as JSON, null as nothing.
std::string bench_csv(const BenchReport& report);
std::string bench_markdown(const BenchReport& report);

/// A value of a row as tables show it; "-" if it is null or absent.
std::string bench_cell(const OrderedJson& row, const BenchColumn& column);
/// "n_prompt 512, batch 8": the keys of a row, those left out that all rows share.
std::string bench_row_name(const BenchReport& report, const OrderedJson& row);

/// Sets side by side what two reports measured in rows of the same keys. @param then a report as bench_json() writes
/// it; @param file its name, for messages. @throws FormatError if it is none, or one of another benchmark
BenchComparison compare_bench(const BenchReport& now, const Json& then, const std::string& file);

}  // namespace kvgauge
