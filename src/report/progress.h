#pragma once
#include <cstdint>
#include <optional>
#include <string>

namespace kvgauge {

/// Progress on stderr: a bar that redraws itself on a terminal, else a plain line every 10 s, or nothing.
class Progress {
 public:
  enum class Style { kNone, kBar, kLines };
  /// kBar if stderr is a terminal, kLines if not, kNone if quiet.
  static Style style(bool quiet);

  /// @param total rows of the job, if known; @param done rows that an earlier run finished
  Progress(Style style, std::optional<std::int64_t> total, std::int64_t done);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// @param tokens computed by this process so far. Cheap: prints only when it is time.
  void update(std::int64_t done, std::int64_t tokens);
  /// Removes the bar, so that a message can be printed.
  void clear();
  double seconds() const;  ///< since construction

 private:
  Style style_;
  std::optional<std::int64_t> total_;
  std::int64_t first_ = 0;
  double begin_ = 0, next_ = 0;
  bool drawn_ = false;
};

/// "done 12/100 rows, 345 tok/s, ETA 1:02"; no total, no ETA. @param seconds since the start
std::string progress_text(std::int64_t done, std::optional<std::int64_t> total, std::int64_t first, std::int64_t tokens,
                          double seconds);

}  // namespace kvgauge
