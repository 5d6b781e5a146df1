#include "report/progress.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "core/cat.h"

namespace kvgauge {
namespace {

constexpr double kBarSeconds = 0.2, kLineSeconds = 10;
constexpr int kBarCells = 24;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

std::string clock_text(double seconds) {
  const auto all = static_cast<std::int64_t>(seconds + 0.5);
  return all < 3600 ? fmt::format("{}:{:02}", all / 60, all % 60)
                    : fmt::format("{}:{:02}:{:02}", all / 3600, all / 60 % 60, all % 60);
}

}  // namespace

Progress::Style Progress::style(bool quiet) {
  return quiet ? Style::kNone : ::isatty(STDERR_FILENO) ? Style::kBar : Style::kLines;
}

Progress::Progress(Style style, std::optional<std::int64_t> total, std::int64_t done)
    : style_(style),
      total_(total),
      first_(done),
      begin_(now()),
      next_(begin_ + (style == Style::kBar ? 0 : kLineSeconds)) {}

Progress::~Progress() { clear(); }

double Progress::seconds() const { return now() - begin_; }

void Progress::update(std::int64_t done, std::int64_t tokens) {
  if (style_ == Style::kNone || now() < next_) return;
  next_ = now() + (style_ == Style::kBar ? kBarSeconds : kLineSeconds);
  std::string text = progress_text(done, total_, first_, tokens, seconds());
  if (style_ == Style::kLines) {
    std::fputs((text + "\n").c_str(), stderr);
    return;
  }
  if (total_ && *total_ > 0) {
    const auto cells = static_cast<std::size_t>(std::clamp<std::int64_t>(kBarCells * done / *total_, 0, kBarCells));
    text = cat("[", std::string(cells, '#'), std::string(kBarCells - cells, '.'), "] ", text);
  }
  std::fputs(("\r" + text + "\x1b[K").c_str(), stderr);
  drawn_ = true;
}

void Progress::clear() {
  if (drawn_) std::fputs("\r\x1b[K", stderr);
  drawn_ = false;
}

std::string progress_text(std::int64_t done, std::optional<std::int64_t> total, std::int64_t first, std::int64_t tokens,
                          double seconds) {
  std::string text = total ? cat("done ", done, "/", *total, " rows") : cat("done ", done, " rows");
  if (seconds > 0) text += fmt::format(", {:.0f} tok/s", static_cast<double>(tokens) / seconds);
  const std::int64_t here = done - first;
  if (total && here > 0 && *total > done)
    text += ", ETA " + clock_text(seconds * static_cast<double>(*total - done) / static_cast<double>(here));
  return text;
}

}  // namespace kvgauge
