#pragma once
#include <string>

#include "loader/opened_files.h"

namespace kvgauge {

/// SHA-256 of a listing of everything that decides results; see ModelFiles::content_hash. Uses the machine's cores,
/// and lets go of the file's pages as it passes.
std::string content_hash(const OpenedFiles& opened);

}  // namespace kvgauge
