#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace kvgauge {

/// Writes all bytes, going on where a signal interrupts it.
/// @return how many were written; fewer than there are after an error, which errno then names
std::size_t write_all(int file, std::string_view bytes);

/// Writes a small file so that it is there whole or not at all: temporary file, fsync, rename, fsync of the folder.
/// @throws OutputError
void write_file_atomically(const std::string& path, std::string_view bytes);

}  // namespace kvgauge
