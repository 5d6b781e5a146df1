// Warp operations: every lane leaves its operand, the last lane of the mask to arrive computes all results.
#include <algorithm>
#include <bit>
#include <limits>

#include "block.h"
#include "core/cat.h"

namespace kvgauge::cuda::emulator {
namespace {

std::string hex(unsigned mask) { return fmt::format("0x{:x}", mask); }

void check_mask(const Thread& thread, const char* operation, unsigned mask, Site site) {
  if ((mask >> thread.lane() & 1) == 0)
    raise_fault(FaultKind::kLaneOutsideMask, cat(operation, " at ", describe(site), ": lane ", thread.lane(),
                                                 " calls, mask ", hex(mask), " leaves it out"));
  const int lanes = std::min(kLanes, g_block.size - thread.warp() * kLanes);
  const unsigned present = lanes == kLanes ? ~0u : (1u << lanes) - 1;
  if ((mask & ~present) != 0)
    raise_fault(FaultKind::kAbsentLanes,
                cat(operation, " at ", describe(site), ": mask ", hex(mask), " names lanes that the block of ",
                    g_block.size, " threads does not have"));
}

void check_agreement(const Thread& thread, const Thread& other) {
  if (other.operation == thread.operation && other.mask == thread.mask && other.site.line == thread.site.line &&
      std::strcmp(other.site.file, thread.site.file) == 0)
    return;
  raise_fault(FaultKind::kDivergentCollective,
              cat("divergent warp: lane ", thread.lane(), " is in ", thread.operation, " at ", describe(thread.site),
                  " with mask ", hex(thread.mask), ", lane ", other.lane(), " in ", other.operation, " at ",
                  describe(other.site), " with mask ", hex(other.mask)));
}

/// The lanes of a collective's mask, for whoever computes it.
class Lanes {
 public:
  Lanes(int warp, unsigned mask) : first_(g_block.threads.data() + warp * kLanes), mask_(mask) {}
  Thread& operator[](int lane) const { return first_[lane]; }
  bool has(int lane) const { return (mask_ >> lane & 1) != 0; }
  template <class Body>
  void each(Body body) const {
    for (unsigned left = mask_; left != 0; left &= left - 1) body(first_[std::countr_zero(left)]);
  }

 private:
  Thread* first_;
  unsigned mask_;
};

/// Meets the other lanes of the mask; `compute` runs once, in the last to arrive. Operands are in the threads already.
template <class Compute>
void meet(const char* operation, unsigned mask, Site site, Compute compute) {
  Thread& thread = *g_block.current;
  check_mask(thread, operation, mask, site);
  thread.operation = operation;
  thread.mask = mask;
  thread.site = site;
  Warp& warp = g_block.warps[static_cast<std::size_t>(thread.warp())];
  const unsigned arrived = warp.arrived | 1u << thread.lane();
  if ((arrived & mask) != mask) {
    warp.arrived = arrived;
    thread.state = State::kAtCollective;
    suspend(thread.fibre);
    return;
  }
  const Lanes lanes(thread.warp(), mask);
  lanes.each([&](const Thread& other) { check_agreement(thread, other); });
  compute(lanes);
  lanes.each([](Thread& other) { other.state = State::kReady; });
  warp.arrived = arrived & ~mask;
}

constexpr const char* kShuffleNames[] = {"__shfl_sync", "__shfl_up_sync", "__shfl_down_sync", "__shfl_xor_sync"};

/// The lane that a shuffle reads; its own where the source lies outside the segment of `width` lanes.
int source_lane(Shuffle how, int lane, int operand, int width) {
  const int first = lane & ~(width - 1), end = first + width;
  switch (how) {
    case Shuffle::kIndex: return first | (operand & (width - 1));
    case Shuffle::kUp: return lane - operand < first ? lane : lane - operand;
    case Shuffle::kDown: return lane + operand >= end ? lane : lane + operand;
    case Shuffle::kXor: return (lane ^ operand) >= end ? lane : lane ^ operand;
  }
  return lane;
}

float from_bf16(std::uint32_t pair, int high) { return bits_as<float>(high != 0 ? pair & 0xffff0000u : pair << 16); }

/// Tensor cores cut sums off instead of rounding them.
float toward_zero(double x) {
  const auto y = static_cast<float>(x);
  return std::fabs(static_cast<double>(y)) > std::fabs(x) && std::isfinite(x) ? std::nextafter(y, 0.f) : y;
}

struct MmaOperands {
  const std::uint32_t* a;
  const std::uint32_t* b;
};

void multiply(const Lanes& lanes) {
  float a[16][16], b[16][8];
  for (int lane = 0; lane < kLanes; ++lane) {
    const auto& in = *static_cast<const MmaOperands*>(lanes[lane].input);
    const int g = lane / 4, c = 2 * (lane % 4);
    for (int half = 0; half < 2; ++half) {
      for (int i = 0; i < 4; ++i) a[g + 8 * (i % 2)][c + half + 8 * (i / 2)] = from_bf16(in.a[i], half);
      for (int i = 0; i < 2; ++i) b[c + half + 8 * i][g] = from_bf16(in.b[i], half);
    }
  }
  for (int lane = 0; lane < kLanes; ++lane) {
    auto* const d = static_cast<float*>(lanes[lane].output);
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + 8 * (i / 2), column = 2 * (lane % 4) + i % 2;
      for (int from = 0; from < 16; from += 8) {  // in steps of k = 8, as the first of these processors
        double sum = d[i];
        for (int k = from; k < from + 8; ++k) sum += static_cast<double>(a[row][k]) * static_cast<double>(b[k][column]);
        d[i] = toward_zero(sum);
      }
    }
  }
}

template <class T>
unsigned combine(unsigned left, unsigned right, bool smaller) {
  const bool less = static_cast<T>(right) < static_cast<T>(left);
  return less == smaller ? right : left;
}

unsigned combine(unsigned left, unsigned right, Reduce how) {
  switch (how) {
    case Reduce::kAdd: return left + right;
    case Reduce::kMin: return combine<unsigned>(left, right, true);
    case Reduce::kMax: return combine<unsigned>(left, right, false);
    case Reduce::kSignedMin: return combine<int>(left, right, true);
    case Reduce::kSignedMax: return combine<int>(left, right, false);
    case Reduce::kAnd: return left & right;
    case Reduce::kOr: return left | right;
    case Reduce::kXor: return left ^ right;
  }
  return left;
}

}  // namespace

void warp_barrier(unsigned mask, Site site) {
  Thread& thread = *g_block.current;
  char* const tag = &g_block.warps[static_cast<std::size_t>(thread.warp())].tags[thread.warp_barriers++ & 1];
  order_release(tag);
  meet("__syncwarp", mask, site, [](const Lanes&) {});
  order_acquire(tag);
}

std::uint64_t shuffle(unsigned mask, std::uint64_t bits, Shuffle how, int operand, int width, Site site) {
  Thread& thread = *g_block.current;
  const char* const operation = kShuffleNames[static_cast<int>(how)];
  if (width < 1 || width > kLanes || (width & (width - 1)) != 0)
    raise_fault(FaultKind::kLaneOutsideMask,
                cat(operation, " at ", describe(site), ": width ", width, ", a power of 2 up to 32 was needed"));
  thread.operand = bits;
  thread.source = source_lane(how, thread.lane(), operand, width);
  meet(operation, mask, site, [&](const Lanes& lanes) {
    lanes.each([&](Thread& lane) {
      if (!lanes.has(lane.source))
        raise_fault(FaultKind::kLaneOutsideMask,
                    cat(operation, " at ", describe(site), ": lane ", lane.lane(), " reads lane ", lane.source,
                        ", which mask ", hex(mask), " leaves out"));
      lane.result = lanes[lane.source].operand;
    });
  });
  return thread.result;
}

unsigned ballot(unsigned mask, bool predicate, Site site) {
  Thread& thread = *g_block.current;
  thread.operand = predicate ? 1 : 0;
  meet("a vote", mask, site, [](const Lanes& lanes) {
    unsigned votes = 0;
    lanes.each([&](const Thread& lane) { votes |= static_cast<unsigned>(lane.operand) << lane.lane(); });
    lanes.each([&](Thread& lane) { lane.result = votes; });
  });
  return static_cast<unsigned>(thread.result);
}

unsigned reduce(unsigned mask, unsigned value, Reduce how, Site site) {
  Thread& thread = *g_block.current;
  thread.operand = value;
  meet("__reduce_sync", mask, site, [&](const Lanes& lanes) {
    unsigned total = value;
    lanes.each([&](const Thread& lane) {
      if (&lane != &thread) total = combine(total, static_cast<unsigned>(lane.operand), how);
    });
    lanes.each([&](Thread& lane) { lane.result = total; });
  });
  return static_cast<unsigned>(thread.result);
}

unsigned match_any(unsigned mask, std::uint64_t bits, Site site) {
  Thread& thread = *g_block.current;
  thread.operand = bits;
  meet("__match_any_sync", mask, site, [](const Lanes& lanes) {
    lanes.each([&](Thread& lane) {
      lane.result = 0;
      lanes.each([&](const Thread& other) {
        lane.result |= static_cast<std::uint64_t>(other.operand == lane.operand) << other.lane();
      });
    });
  });
  return static_cast<unsigned>(thread.result);
}

unsigned active_mask() {  // fibres run one at a time: a valid answer, and one that no code may rely on
  return 1u << g_block.current->lane();
}

std::uint32_t pack_bf16x2(float low, float high) {
  const auto round = [](float x) -> std::uint32_t {
    if (x != x) return 0x7fff;  // the conversion's one NaN
    const auto bits = bits_as<std::uint32_t>(x);
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  };
  return round(low) | round(high) << 16;
}

float exp2_approx(float x) {
  const float y = exp2f(x);
  return y < std::numeric_limits<float>::min() ? 0.f : y;
}

void mma(float* d, const std::uint32_t* a, const std::uint32_t* b, Site site) {
  const MmaOperands operands{a, b};
  g_block.current->input = &operands;
  g_block.current->output = d;
  meet("mma.sync", ~0u, site, multiply);
}

void check_shared_row(const void* row) {
  if (reinterpret_cast<std::uintptr_t>(row) % 16 != 0)
    raise_fault(FaultKind::kMisaligned, cat("ldmatrix from ", fmt::ptr(row), ", a multiple of 16 was needed"));
}

void ldmatrix_exchange(std::uint32_t* out, const std::uint32_t* row, bool transposed, Site site) {
  g_block.current->input = row;
  g_block.current->output = out;
  meet(transposed ? "ldmatrix.trans" : "ldmatrix", ~0u, site, [transposed](const Lanes& lanes) {
    const auto element = [&](int matrix, int r, int c) -> std::uint32_t {
      const std::uint32_t word = static_cast<const std::uint32_t*>(lanes[8 * matrix + r].input)[c / 2];
      return c % 2 != 0 ? word >> 16 : word & 0xffffu;
    };
    for (int lane = 0; lane < kLanes; ++lane) {
      for (int matrix = 0; matrix < 4; ++matrix) {
        const int r = lane / 4, c = 2 * (lane % 4);
        static_cast<std::uint32_t*>(lanes[lane].output)[matrix] =
            transposed ? element(matrix, c, r) | element(matrix, c + 1, r) << 16
                       : element(matrix, r, c) | element(matrix, r, c + 1) << 16;
      }
    }
  });
}

void cp_async_16(void* to, const void* from, bool valid) {
  if (reinterpret_cast<std::uintptr_t>(to) % 16 != 0 || reinterpret_cast<std::uintptr_t>(from) % 16 != 0)
    raise_fault(FaultKind::kMisaligned,
                cat("cp.async from ", fmt::ptr(from), " to ", fmt::ptr(to), ", multiples of 16 were needed"));
  Thread& thread = *g_block.current;
  thread.copies.push_back({{to, valid ? from : nullptr}, thread.groups});
}

void cp_async_commit() { ++g_block.current->groups; }

bool take_landed_copy(int newest, PendingCopy& copy) {
  Thread& thread = *g_block.current;
  if (thread.copies.empty() || thread.copies.front().group >= thread.groups - newest) return false;
  copy = thread.copies.front().copy;
  thread.copies.erase(thread.copies.begin());
  return true;
}

}  // namespace kvgauge::cuda::emulator
