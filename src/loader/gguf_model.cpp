#include "core/cat.h"
#include "kvgauge/error.h"
#include "loader/opened_files.h"

namespace kvgauge {

OpenedFiles open_gguf_file(const std::filesystem::path& path) {
  throw ConfigError(cat(path.string(), ": GGUF is not supported, a Hugging Face model folder was needed"));
}

}  // namespace kvgauge
