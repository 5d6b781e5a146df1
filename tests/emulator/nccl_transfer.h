#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "nccl.h"

namespace kvgauge::cuda::emulator::nccl {

enum class Kind { kAllReduce, kReduce, kReduceScatter, kAllGather, kBroadcast, kSend, kReceive };
const char* name(Kind kind);
std::size_t bytes_of(ncclDataType_t type);
std::string name(ncclDataType_t type);

/// What all ranks of a collective must agree on, or both ends of a transfer.
struct Shape {
  Kind kind;
  std::size_t count;  ///< as given: of what a rank sends, for kReduceScatter of what it receives
  ncclDataType_t type;
  ncclRedOp_t operation = ncclSum;
  int root = 0;  ///< kReduce, kBroadcast; the other rank of kSend and kReceive

  std::size_t send_bytes(int ranks) const {
    return count * bytes_of(type) * (kind == Kind::kReduceScatter ? ranks : 1);
  }
  std::size_t receive_bytes(int ranks) const { return count * bytes_of(type) * (kind == Kind::kAllGather ? ranks : 1); }
  bool sends(int rank) const {
    return kind == Kind::kSend || (kind != Kind::kReceive && (kind != Kind::kBroadcast || rank == root));
  }
  bool receives(int rank) const {
    return kind == Kind::kReceive || (kind != Kind::kSend && (kind != Kind::kReduce || rank == root));
  }
};
std::string describe(const Shape& shape);

struct Buffers {
  const void* send = nullptr;
  void* receive = nullptr;
};

/// Moves and reduces the data of a collective; buffers by rank, those of one rank may be the same memory as the vendor
/// allows it. Reductions round to the type after every step and begin at another rank in every 1/ranks of the elements,
/// as a ring does: the result is the same on all ranks and every run, but in no order that a caller could rely on.
void transfer(const Shape& shape, const std::vector<Buffers>& ranks);

}  // namespace kvgauge::cuda::emulator::nccl
