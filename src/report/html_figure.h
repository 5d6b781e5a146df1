#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace kvgauge {

/// A series of a figure.
struct FigureLegend {
  std::string classes, label;  ///< the label is plain text, escaped where it is written
  bool dot = false;
};

/// A figure with its caption (plain text) and legend. @param svg markup
std::string html_figure(std::string_view caption, const std::string& svg, const std::vector<FigureLegend>& legend,
                        std::string_view classes = "");

}  // namespace kvgauge
