// cuBLASLt for emulated devices. Everything that the vendor's library would read wrongly in silence is refused here:
// foreign or destroyed handles, operands whose shapes do not fit, leading dimensions below the columns' length,
// matrices that are not wholly inside one live allocation, pointers below the alignment that the algorithm was chosen
// for, algorithms of other products. The reason is logged (level 1) through the vendor's logger callback.
//
// As with the vendor's library, the order of the sums over k depends on the algorithm, and the heuristic's choice on
// the number of columns:
//   1 column:    parts of K added up in the workspace (4 parts), each in lanes
//   2 to 16:     2 parts, each in lanes
//   17 to 63:    in lanes
//   64 and more: in sequence
// so that code which promises the same bits for every batch must ask for one algorithm, and fails here when it does
// not.
#include "cublas_problem.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>
#include <utility>

#include "core/cat.h"
#include "emulator_control.h"

namespace kvgauge::cuda::emulator::blas {
namespace {

constexpr char kMatrix[] = "ABCD";

std::string type_name(int type) {
  switch (type) {
    case CUDA_R_32F: return "f32";
    case CUDA_R_16F: return "f16";
    case CUDA_R_16BF: return "bf16";
    default: return cat("type ", type);
  }
}

std::string shape(const Layout& layout) {
  return cat(type_name(layout.type), '[', layout.rows, ',', layout.columns, "] ld ", layout.ld,
             layout.order == CUBLASLT_ORDER_ROW ? " by rows" : "");
}

void check_types(const Problem& p) {
  const int a = p.matrices[0].type, b = p.matrices[1].type, c = p.matrices[2].type, d = p.matrices[3].type,
            compute = p.operation.compute;
  const bool f32_compute = compute == CUBLAS_COMPUTE_32F || compute == CUBLAS_COMPUTE_32F_PEDANTIC ||
                           compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  const bool legal =
      f32_compute && p.operation.scale == CUDA_R_32F && a == b && c == d &&
      (compute != CUBLAS_COMPUTE_32F_FAST_TF32 || a == CUDA_R_32F) &&
      ((a == CUDA_R_32F && c == CUDA_R_32F) || (a == CUDA_R_16BF && (c == CUDA_R_32F || c == CUDA_R_16BF)) ||
       (a == CUDA_R_16F && (c == CUDA_R_32F || c == CUDA_R_16F)));
  if (!legal)
    refuse(cat("A ", type_name(a), ", B ", type_name(b), ", C ", type_name(c), ", D ", type_name(d), ", scale ",
               type_name(p.operation.scale), ", compute type ", compute,
               ": no such product; A and B are both f32, bf16 or f16, C and D alike f32 or the type of A, with scale "
               "and computation in f32"),
           CUBLAS_STATUS_NOT_SUPPORTED);
}

void check_inside(const char* what, const void* pointer, std::size_t bytes) {
  if (pointer == nullptr) refuse(cat(what, " is null"));
  if (is_device_memory(pointer, bytes)) return;
  const auto* address = static_cast<const std::byte*>(pointer);
  for (const DeviceRange& range : device_ranges())
    if (address >= range.begin && address < range.begin + range.bytes)
      refuse(cat(what, ": ", bytes, " bytes from offset ", address - range.begin, " of ", range.name, ", which has ",
                 range.bytes));
  refuse(cat(what, ": not in a live device allocation"));
}

bool overlap(const void* a, std::size_t a_bytes, const void* b, std::size_t b_bytes) {
  const auto first = std::bit_cast<std::uintptr_t>(a), second = std::bit_cast<std::uintptr_t>(b);
  return first < second + b_bytes && second < first + a_bytes;
}

}  // namespace

void refuse(std::string reason, cublasStatus_t status) { throw Refusal{status, std::move(reason)}; }

void fit(Problem& p) {
  if (p.operation.transposed[2] != CUBLAS_OP_N) refuse("C is transposed: the library takes it as it is");
  if (p.operation.pointer_mode != CUBLASLT_POINTER_MODE_HOST)
    refuse("alpha and beta in device memory: not emulated", CUBLAS_STATUS_NOT_SUPPORTED);
  for (int i = 0; i < 4; ++i) {
    const Layout& x = p.matrices[i];
    if (x.rows <= 0 || x.columns <= 0) refuse(cat(kMatrix[i], " is ", shape(x), ": empty"));
    if (x.ld < x.line_length())
      refuse(cat(kMatrix[i], " is ", shape(x), ": the leading dimension must be at least ", x.line_length(),
                 ", lines would overlap"));
  }
  const auto rows_of = [&](int i) {
    return p.operation.transposed[i] == CUBLAS_OP_N ? p.matrices[i].rows : p.matrices[i].columns;
  };
  const auto columns_of = [&](int i) {
    return p.operation.transposed[i] == CUBLAS_OP_N ? p.matrices[i].columns : p.matrices[i].rows;
  };
  p.m = p.matrices[3].rows;
  p.n = p.matrices[3].columns;
  p.k = columns_of(0);
  const auto op = [&](int i) { return p.operation.transposed[i] == CUBLAS_OP_N ? "" : "^T"; };
  if (rows_of(0) != p.m || rows_of(1) != p.k || columns_of(1) != p.n || p.matrices[2].rows != p.m ||
      p.matrices[2].columns != p.n)
    refuse(cat("D ", shape(p.matrices[3]), ", C ", shape(p.matrices[2]), " do not fit A", op(0), " B", op(1),
               " with A ", shape(p.matrices[0]), " and B ", shape(p.matrices[1]), ": op(A) is [", rows_of(0), ',',
               columns_of(0), "], op(B) [", rows_of(1), ',', columns_of(1), ']'));
  check_types(p);
}

std::size_t workspace_bytes(const Algorithm& algorithm, const Problem& p) {
  return algorithm.parts == 1 ? 0 : static_cast<std::size_t>(algorithm.parts * p.m * p.n) * sizeof(float);
}

std::vector<Algorithm> candidates(const Problem& p, const Preference& preference) {
  Algorithm made{};
  made.magic = kMagic;
  std::copy(std::begin(preference.alignment), std::end(preference.alignment), made.alignment);
  for (int i = 0; i < 4; ++i) made.types[i] = static_cast<std::uint8_t>(p.matrices[i].type);
  for (int i = 0; i < 2; ++i) made.transposed[i] = static_cast<std::uint8_t>(p.operation.transposed[i]);
  made.compute = static_cast<std::uint16_t>(p.operation.compute);
  made.m = static_cast<std::uint32_t>(p.m);
  made.n = static_cast<std::uint32_t>(p.n);
  made.k = static_cast<std::uint32_t>(p.k);

  std::vector<Algorithm> found;
  const auto add = [&](Kernel kernel, std::int32_t parts) {
    made.kernel = kernel;
    made.parts = parts;
    const bool allowed = parts == 1 || (preference.reductions & CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE) != 0;
    if (allowed && p.k >= parts && workspace_bytes(made, p) <= preference.workspace_bytes) found.push_back(made);
  };
  if (p.n <= 16) add(Kernel::kLanes, p.n == 1 ? 4 : 2);
  const Kernel first = p.n < 64 ? Kernel::kLanes : Kernel::kSequence;
  add(first, 1);
  add(first == Kernel::kLanes ? Kernel::kSequence : Kernel::kLanes, 1);
  return found;
}

Algorithm checked(const cublasLtMatmulAlgo_t& algo, const Problem& p) {
  Algorithm algorithm;
  std::memcpy(&algorithm, &algo, sizeof(algorithm));
  if (algorithm.magic != kMagic) refuse("the algorithm is none that a heuristic returned");
  bool same = algorithm.compute == p.operation.compute;
  for (int i = 0; i < 4; ++i) same = same && algorithm.types[i] == p.matrices[i].type;
  for (int i = 0; i < 2; ++i) same = same && algorithm.transposed[i] == p.operation.transposed[i];
  if (!same) refuse("the algorithm was chosen for other types or transpositions");
  if (algorithm.m != p.m || algorithm.k != p.k || algorithm.n < p.n)
    refuse(cat("the algorithm was chosen for m ", algorithm.m, " n ", algorithm.n, " k ", algorithm.k,
               ", the product has m ", p.m, " n ", p.n, " k ", p.k));
  return algorithm;
}

void check_pointers(const Call& call, std::size_t given_workspace) {
  const void* pointers[] = {call.a, call.b, call.c, call.d};
  for (int i = 0; i < 4; ++i) {
    if (i == 2 && call.beta == 0 && call.c == nullptr) continue;
    const char what[] = {kMatrix[i], '\0'};
    check_inside(what, pointers[i], call.bytes(i));
    const std::uint32_t alignment = call.algorithm.alignment[i];
    if (const auto off = std::bit_cast<std::uintptr_t>(pointers[i]) % alignment; off != 0)
      refuse(cat(what, ": its address is ", off, " bytes past a multiple of ", alignment,
                 ", the alignment that the algorithm was chosen for"));
  }
  if (overlap(call.d, call.bytes(3), call.a, call.bytes(0)) || overlap(call.d, call.bytes(3), call.b, call.bytes(1)))
    refuse("D overlaps A or B");
  const Layout &c = call.problem.matrices[2], &d = call.problem.matrices[3];
  if (call.c == call.d && (c.ld != d.ld || c.order != d.order))
    refuse(cat("C is D in memory, but C is ", shape(c), " and D ", shape(d)));
  const std::size_t needed = workspace_bytes(call.algorithm, call.problem);
  if (given_workspace < needed)
    refuse(cat("the algorithm needs ", needed, " bytes of workspace, ", given_workspace, " are given"));
  if (needed == 0) return;
  check_inside("workspace", call.workspace, needed);
  if (std::bit_cast<std::uintptr_t>(call.workspace) % 16 != 0) refuse("workspace: not aligned to 16 bytes");
  for (const int i : {0, 1, 3})
    if (overlap(call.workspace, needed, pointers[i], call.bytes(i))) refuse(cat("workspace overlaps ", kMatrix[i]));
}

}  // namespace kvgauge::cuda::emulator::blas
