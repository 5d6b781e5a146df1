#include "report/html_text.h"

#include "core/printable.h"

namespace kvgauge {

std::string html_text(std::string_view text, std::size_t limit) {
  std::string out;
  for (const char c : printable(text, limit)) switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  return out;
}

}  // namespace kvgauge
