#include "report/bench_report.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "core/cat.h"
#include "core/printable.h"
#include "kvgauge/error.h"
#include "report/report_text.h"

namespace kvgauge {
namespace {

std::string dumped(const OrderedJson& json, int indent = -1) {
  return json.dump(indent, ' ', false, OrderedJson::error_handler_t::replace);
}

std::string plain(const OrderedJson& value) { return value.is_string() ? value.get<std::string>() : dumped(value); }

std::string number_text(double value, int places) {
  if (!std::isfinite(value)) return "-";
  if (places < 0) return fmt::format("{}", value);
  return decimal(value, places);
}

std::string csv_cell(const OrderedJson& value) {
  const std::string text = value.is_null() ? "" : plain(value);
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) out.append(c == '"' ? 2 : 1, c);
  return out + '"';
}

const OrderedJson* find(const OrderedJson& row, const std::string& field) {
  const auto at = row.find(field);
  return at == row.end() || at->is_null() ? nullptr : &*at;
}

void put_table(std::string& out, const std::vector<std::string>& head,
               const std::vector<std::vector<std::string>>& rows, std::size_t text_columns) {
  out += "|";
  for (const std::string& cell : head) out += cat(" ", markdown_cell(cell), " |");
  out += "\n|";
  for (std::size_t i = 0; i < head.size(); ++i) out += i < text_columns ? "---|" : "---:|";
  out += '\n';
  for (const auto& row : rows) {
    out += "|";
    for (const std::string& cell : row) out += cat(" ", markdown_cell(cell), " |");
    out += '\n';
  }
}

OrderedJson comparison_json(const BenchComparison& c) {
  return {{"file", c.file},
          {"differences", c.differences},
          {"only_now", c.only_now},
          {"only_then", c.only_then},
          {"rows", c.rows}};
}

std::string comparison_markdown(const BenchReport& report) {
  const BenchComparison& c = *report.comparison;
  std::string out = cat("\n## Beside ", printable(c.file), " (ratios: now / then)\n\n");
  for (const std::string& difference : c.differences) out += cat("- ", printable(difference, 400), "\n");
  if (!c.differences.empty()) out += '\n';
  if (c.only_now + c.only_then > 0)
    out += cat(c.only_now, " rows are new, ", c.only_then, " of the other file are not here.\n\n");
  std::vector<std::vector<std::string>> cells;
  for (const OrderedJson& row : c.rows) {
    std::vector<std::string> line;
    for (const std::string& key : report.keys) line.push_back(bench_cell(row, {.field = key, .title = {}}));
    for (const std::string& measure : report.measures)
      line.push_back(bench_cell(row, {.field = measure + "_ratio", .title = {}, .places = 3}));
    cells.push_back(std::move(line));
  }
  std::vector<std::string> head = report.keys;
  head.insert(head.end(), report.measures.begin(), report.measures.end());
  put_table(out, head, cells, 0);
  return out;
}

// Rows are found again by their keys.
template <class Row>
std::string identity(const std::vector<std::string>& keys, const Row& row) {
  std::string out;
  for (const std::string& key : keys) {
    const auto at = row.find(key);
    out += cat(at == row.end() ? "null" : at->dump(-1, ' ', false, Row::error_handler_t::replace), "|");
  }
  return out;
}

void put_differences(std::vector<std::string>& to, const OrderedJson& now, const Json& then,
                     const std::vector<std::string>& passed_over) {
  for (const auto& entry : now.items()) {
    if (std::find(passed_over.begin(), passed_over.end(), entry.key()) != passed_over.end()) continue;
    const auto at = then.find(entry.key());
    const std::string was = at == then.end() ? "unknown" : at->dump(-1, ' ', false, Json::error_handler_t::replace);
    if (const std::string is = dumped(entry.value()); is != was)
      to.push_back(cat(entry.key(), ": ", was, " then, ", is, " now"));
  }
}

}  // namespace

std::string bench_cell(const OrderedJson& row, const BenchColumn& column) {
  const OrderedJson* const value = find(row, column.field);
  if (!value) return "-";
  if (value->is_number_float() || (value->is_number() && (column.places >= 0 || column.scale != 1)))
    return number_text(value->get<double>() * column.scale, column.places);
  if (value->is_array() && value->size() == 2 && (*value)[0].is_number() && (*value)[1].is_number())
    return cat(number_text((*value)[0].get<double>() * column.scale, column.places), " to ",
               number_text((*value)[1].get<double>() * column.scale, column.places));
  if (value->is_array() && value->size() == 2) return "-";  // an undefined interval
  return plain(*value);
}

std::string bench_row_name(const BenchReport& report, const OrderedJson& row) {
  std::string out;
  for (const std::string& key : report.keys) {
    const OrderedJson* const value = find(row, key);
    const bool shared = std::all_of(report.rows.begin(), report.rows.end(), [&](const OrderedJson& other) {
      const OrderedJson* const others = find(other, key);
      return value ? others && *others == *value : !others;
    });
    if (shared || !value) continue;
    out += cat(out.empty() ? "" : ", ", value->is_string() ? "" : key + " ", plain(*value));
  }
  return out.empty() ? report.benchmark : out;
}

std::string bench_json(const BenchReport& report) {
  OrderedJson json = {{"benchmark", report.benchmark},
                      {"complete", report.complete},
                      {"machine", report.machine},
                      {"settings", report.settings},
                      {"rows", report.rows}};
  if (report.comparison) json["comparison"] = comparison_json(*report.comparison);
  return dumped(json, 2) + "\n";
}

std::string bench_jsonl(const BenchReport& report) {
  std::string out;
  for (OrderedJson row : report.rows) {
    row["benchmark"] = report.benchmark;
    row["machine"] = report.machine;
    out += dumped(row) + "\n";
  }
  return out.empty() ? "\n" : out;
}

std::string bench_csv(const BenchReport& report) {
  std::vector<std::string> fields = report.keys;
  for (const OrderedJson& row : report.rows)
    for (const auto& entry : row.items())
      if (std::find(fields.begin(), fields.end(), entry.key()) == fields.end()) fields.push_back(entry.key());
  std::string out = "benchmark";
  for (const std::string& field : fields) out.append(",").append(csv_cell(field));
  for (const auto& entry : report.machine.items()) out.append(",machine_").append(entry.key());
  out += '\n';
  for (const OrderedJson& row : report.rows) {
    out += report.benchmark;
    for (const std::string& field : fields)
      out.append(",").append(csv_cell(row.contains(field) ? row[field] : OrderedJson()));
    for (const auto& entry : report.machine.items()) out.append(",").append(csv_cell(entry.value()));
    out += '\n';
  }
  return out;
}

std::string bench_markdown(const BenchReport& report) {
  std::string out = cat("# ", report.title, "\n\n");
  for (const auto& entry : report.machine.items())
    out += cat("- ", entry.key(), ": ", printable(plain(entry.value()), 400), "\n");
  for (const auto& entry : report.settings.items())
    out += cat("- ", entry.key(), " = ", printable(plain(entry.value()), 400), "\n");
  out += '\n';
  if (!report.complete) out += "Interrupted: rows are missing.\n\n";
  std::vector<std::string> head;
  for (const BenchColumn& column : report.columns) head.push_back(column.title);
  std::vector<std::vector<std::string>> cells;
  for (const OrderedJson& row : report.rows) {
    cells.emplace_back();
    for (const BenchColumn& column : report.columns) cells.back().push_back(bench_cell(row, column));
  }
  if (report.markdown.empty())
    put_table(out, head, cells, 1);
  else
    out += report.markdown;
  if (!report.notes.empty()) out += cat("\n", join(report.notes, " "), "\n");
  if (report.comparison) out += comparison_markdown(report);
  return out;
}

BenchComparison compare_bench(const BenchReport& now, const Json& then, const std::string& file) {
  const auto wrong = [&](const std::string& found) {
    return FormatError(
        cat(file, ": found ", found, ", a report of `kvgauge bench ", now.benchmark, " --format json` was needed"));
  };
  if (!then.is_object() || !then.contains("benchmark") || !then["benchmark"].is_string()) throw wrong("no report");
  if (then["benchmark"] != now.benchmark)
    throw wrong(cat("one of the benchmark '", printable(then["benchmark"].get<std::string>()), "'"));
  const auto rows = then.find("rows");
  if (rows == then.end() || !rows->is_array()) throw wrong("no array `rows`");
  BenchComparison out{.file = file, .differences = {}, .rows = {}};
  for (const auto& [part, passed_over] :
       {std::pair("machine", std::vector<std::string>{"date", "load"}), {"settings", std::vector<std::string>{}}})
    if (const auto at = then.find(part); at != then.end() && at->is_object())
      put_differences(out.differences, std::string_view(part) == "machine" ? now.machine : now.settings, *at,
                      passed_over);
  std::vector<std::pair<std::string, const Json*>> old;
  for (const Json& row : *rows) {
    if (!row.is_object()) throw wrong("a row that is no object");
    old.emplace_back(identity(now.keys, row), &row);
  }
  std::sort(old.begin(), old.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::int64_t matched = 0;
  for (const OrderedJson& row : now.rows) {
    const std::string name = identity(now.keys, row);
    const auto at =
        std::lower_bound(old.begin(), old.end(), name, [](const auto& a, const std::string& b) { return a.first < b; });
    if (at == old.end() || at->first != name) {
      ++out.only_now;
      continue;
    }
    ++matched;
    OrderedJson entry = OrderedJson::object();
    for (const std::string& key : now.keys) entry[key] = row.contains(key) ? row[key] : OrderedJson();
    for (const std::string& measure : now.measures) {
      const OrderedJson* const is = find(row, measure);
      const auto was = at->second->find(measure);
      const bool defined =
          is && is->is_number() && was != at->second->end() && was->is_number() && was->get<double>() != 0;
      const double ratio = defined ? is->get<double>() / was->get<double>() : NAN;
      entry[measure + "_ratio"] = std::isfinite(ratio) ? OrderedJson(ratio) : OrderedJson();
    }
    out.rows.push_back(std::move(entry));
  }
  out.only_then = std::max<std::int64_t>(0, std::ssize(old) - matched);
  return out;
}

}  // namespace kvgauge
