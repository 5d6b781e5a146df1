#include "nccl_transfer.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "core/cat.h"
#include "core/dtype.h"

namespace kvgauge::cuda::emulator::nccl {
namespace {

struct Type {
  const char* name;
  std::size_t bytes;
};
constexpr Type kTypes[ncclNumTypes] = {{"int8", 1},   {"uint8", 1}, {"int32", 4}, {"uint32", 4}, {"int64", 8},
                                       {"uint64", 8}, {"f16", 2},   {"f32", 4},   {"f64", 8},    {"bf16", 2}};

template <class T>
auto widened(T x) {
  if constexpr (std::is_same_v<T, half_t> || std::is_same_v<T, bf16_t>) {
    return to_float(x);
  } else {
    return x;
  }
}
template <class T, class Wide>
T narrowed(Wide x) {
  if constexpr (std::is_same_v<T, half_t>) {
    return to_half(x);
  } else if constexpr (std::is_same_v<T, bf16_t>) {
    return to_bf16(x);
  } else {
    return static_cast<T>(x);
  }
}

template <class T>
T combined(T first, T second, ncclRedOp_t operation) {
  const auto a = widened(first), b = widened(second);
  switch (operation) {
    case ncclProd: return narrowed<T>(a * b);
    case ncclMax: return a < b ? second : first;
    case ncclMin: return b < a ? second : first;
    default: return narrowed<T>(a + b);
  }
}

/// The reduction of all ranks' buffers over `count` elements.
template <class T>
std::vector<std::byte> reduced(const std::vector<const std::byte*>& sent, std::size_t count, ncclRedOp_t operation) {
  std::vector<std::byte> out(count * sizeof(T));
  const std::size_t ranks = sent.size();
  const auto at = [&](std::size_t rank, std::size_t i) {
    T value;
    std::memcpy(&value, sent[rank] + i * sizeof(T), sizeof(T));
    return value;
  };
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t first = i * ranks / count;
    T sum = at(first, i);
    for (std::size_t step = 1; step < ranks; ++step) sum = combined(sum, at((first + step) % ranks, i), operation);
    if (operation == ncclAvg) sum = narrowed<T>(widened(sum) / static_cast<decltype(widened(sum))>(ranks));
    std::memcpy(out.data() + i * sizeof(T), &sum, sizeof(T));
  }
  return out;
}

std::vector<std::byte> reduced(const std::vector<const std::byte*>& sent, std::size_t count, ncclDataType_t type,
                               ncclRedOp_t operation) {
  switch (type) {
    case ncclInt8: return reduced<std::int8_t>(sent, count, operation);
    case ncclUint8: return reduced<std::uint8_t>(sent, count, operation);
    case ncclInt32: return reduced<std::int32_t>(sent, count, operation);
    case ncclUint32: return reduced<std::uint32_t>(sent, count, operation);
    case ncclInt64: return reduced<std::int64_t>(sent, count, operation);
    case ncclUint64: return reduced<std::uint64_t>(sent, count, operation);
    case ncclFloat16: return reduced<half_t>(sent, count, operation);
    case ncclFloat32: return reduced<float>(sent, count, operation);
    case ncclFloat64: return reduced<double>(sent, count, operation);
    default: return reduced<bf16_t>(sent, count, operation);
  }
}

}  // namespace

const char* name(Kind kind) {
  constexpr const char* kNames[] = {"ncclAllReduce", "ncclReduce", "ncclReduceScatter", "ncclAllGather",
                                    "ncclBroadcast", "ncclSend",   "ncclRecv"};
  return kNames[static_cast<int>(kind)];
}
std::size_t bytes_of(ncclDataType_t type) { return kTypes[type].bytes; }
std::string name(ncclDataType_t type) { return kTypes[type].name; }

std::string describe(const Shape& shape) {
  constexpr const char* kOperations[] = {"sum", "prod", "max", "min", "avg"};
  std::string text = cat(name(shape.kind), " of ", shape.count, ' ', name(shape.type));
  const bool reduces =
      shape.kind == Kind::kAllReduce || shape.kind == Kind::kReduce || shape.kind == Kind::kReduceScatter;
  if (reduces) text += cat(' ', kOperations[shape.operation]);
  if (shape.kind == Kind::kReduce || shape.kind == Kind::kBroadcast) text += cat(" root ", shape.root);
  return text;
}

void transfer(const Shape& shape, const std::vector<Buffers>& ranks) {
  const int count = static_cast<int>(ranks.size());
  const std::size_t bytes = shape.count * bytes_of(shape.type);
  std::vector<std::byte> result;
  if (shape.kind == Kind::kBroadcast) {
    const auto* from = static_cast<const std::byte*>(ranks[static_cast<std::size_t>(shape.root)].send);
    result.assign(from, from + bytes);
  } else if (shape.kind == Kind::kAllGather) {
    for (const Buffers& rank : ranks) {
      const auto* from = static_cast<const std::byte*>(rank.send);
      result.insert(result.end(), from, from + bytes);
    }
  } else {
    std::vector<const std::byte*> sent;
    for (const Buffers& rank : ranks) sent.push_back(static_cast<const std::byte*>(rank.send));
    result = reduced(sent, shape.send_bytes(count) / bytes_of(shape.type), shape.type, shape.operation);
  }
  for (int rank = 0; rank < count; ++rank) {
    if (!shape.receives(rank)) continue;
    const std::size_t offset = shape.kind == Kind::kReduceScatter ? static_cast<std::size_t>(rank) * bytes : 0;
    std::memcpy(ranks[static_cast<std::size_t>(rank)].receive, result.data() + offset, shape.receive_bytes(count));
  }
}

}  // namespace kvgauge::cuda::emulator::nccl
