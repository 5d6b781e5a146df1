#include "support/golden_tensors.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "support/paths.h"

namespace kvgauge::testing {
namespace {

template <class T>
std::vector<T> values_of(const std::string& bytes) {
  std::vector<T> out(bytes.size() / sizeof(T));
  std::memcpy(out.data(), bytes.data(), out.size() * sizeof(T));
  return out;
}

}  // namespace

GoldenTensors::GoldenTensors(const std::filesystem::path& path) : path_(path.string()) {
  if (!std::filesystem::is_regular_file(path)) throw std::runtime_error(path_ + ": no such golden file");
  const std::string file = read_file(path);
  std::uint64_t header_bytes = 0;
  if (file.size() < sizeof header_bytes) throw std::runtime_error(path_ + ": too short for a safetensors header");
  std::memcpy(&header_bytes, file.data(), sizeof header_bytes);
  if (header_bytes > file.size() - sizeof header_bytes)
    throw std::runtime_error(path_ + ": the header does not fit the file");
  const std::string data = file.substr(sizeof header_bytes + header_bytes);
  const auto header = nlohmann::json::parse(file.substr(sizeof header_bytes, header_bytes));
  for (const auto& item : header.items()) {
    if (item.key() == "__metadata__") continue;
    const auto offsets = item.value().at("data_offsets").get<std::vector<std::uint64_t>>();
    if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] > data.size())
      throw std::runtime_error(path_ + ": tensor '" + item.key() + "' lies outside the file");
    entries_[item.key()] = {item.value().at("dtype").get<std::string>(),
                            item.value().at("shape").get<std::vector<std::int64_t>>(),
                            data.substr(offsets[0], offsets[1] - offsets[0])};
  }
}

const GoldenTensors::Entry& GoldenTensors::entry(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) throw std::runtime_error(path_ + ": no tensor '" + name + "'");
  return found->second;
}

std::vector<double> GoldenTensors::reals(const std::string& name) const {
  const Entry& e = entry(name);
  if (e.dtype == "F64") return values_of<double>(e.bytes);
  if (e.dtype != "F32") throw std::runtime_error(path_ + ": tensor '" + name + "' is " + e.dtype + ", not F32 or F64");
  const auto singles = values_of<float>(e.bytes);
  return {singles.begin(), singles.end()};
}

std::vector<std::int32_t> GoldenTensors::ints(const std::string& name) const {
  const Entry& e = entry(name);
  if (e.dtype != "I32") throw std::runtime_error(path_ + ": tensor '" + name + "' is " + e.dtype + ", not I32");
  return values_of<std::int32_t>(e.bytes);
}

double relative_error(const std::vector<double>& got, const std::vector<double>& want) {
  if (got.size() != want.size()) return std::numeric_limits<double>::infinity();
  double largest = 0, difference = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (std::isfinite(got[i]) != std::isfinite(want[i])) return std::numeric_limits<double>::infinity();
    if (!std::isfinite(want[i])) continue;
    largest = std::max(largest, std::abs(want[i]));
    difference = std::max(difference, std::abs(got[i] - want[i]));
  }
  return difference == 0 ? 0 : difference / largest;
}

}  // namespace kvgauge::testing
