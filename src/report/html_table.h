#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace kvgauge {

/// A table with a header; the first column is text.
class HtmlTable {
 public:
  /// @param head plain text, escaped here. @param text_columns at the left, aligned as text
  explicit HtmlTable(const std::vector<std::string>& head, std::size_t text_columns = 1);
  /// @param cells markup, the caller escapes
  void row(const std::vector<std::string>& cells, std::string_view classes = "");
  std::string finish() { return std::move(out_) + "</tbody></table></div>\n"; }

 private:
  std::size_t text_columns_;
  std::string out_;
};

}  // namespace kvgauge
