// cuBLASLt's C interface for emulated devices: handles and attributes. What a product must be: cublas_problem.cpp. A
// refusal is logged (level 1) through the vendor's logger callback.
#include "cublas_lt.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "core/cat.h"
#include "cublasLt.h"
#include "cublas_problem.h"
#include "emulator_control.h"

namespace emulator = kvgauge::cuda::emulator;
using kvgauge::cat;
using namespace kvgauge::cuda::emulator::blas;

struct cublasLtContext {
  int device;
};

namespace {

std::mutex mutex;
emulator::BlasCounters counted;
cublasLtLoggerCallback_t logger = nullptr;
int log_level = 0;
enum class Kind { kLibrary, kLayout, kOperation, kPreference };
std::map<const void*, Kind> live;

const char* name(Kind kind) {
  constexpr const char* kNames[] = {"library handle", "matrix layout", "matmul descriptor", "preference"};
  return kNames[static_cast<int>(kind)];
}

/// Runs a call's body; a refusal becomes its status and a line of the log.
template <class Body>
cublasStatus_t guarded(const char* function, Body body) {
  try {
    body();
    return CUBLAS_STATUS_SUCCESS;
  } catch (const Refusal& refusal) {
    if (logger != nullptr && log_level >= 1) logger(1, function, refusal.reason.c_str());
    return refusal.status;
  }
}

void check_live(const void* handle, Kind kind) {
  const std::lock_guard lock(mutex);
  const auto found = live.find(handle);
  if (found == live.end())
    refuse(cat(name(kind), ": not a live one (never created, or destroyed)"), CUBLAS_STATUS_NOT_INITIALIZED);
  if (found->second != kind) refuse(cat("a ", name(found->second), " is given for a ", name(kind)));
}

template <class T>
void enroll(T* object, Kind kind) {
  const std::lock_guard lock(mutex);
  live[object] = kind;
  ++counted.live_objects;
}
void strike(const void* object, Kind kind) {
  check_live(object, kind);
  const std::lock_guard lock(mutex);
  live.erase(object);
  --counted.live_objects;
}

/// The vendor's opaque structs hold ours.
template <class Ours, class Opaque>
Ours& inside(Opaque* opaque, Kind kind) {
  static_assert(sizeof(Ours) <= sizeof(Opaque));
  check_live(opaque, kind);
  return *reinterpret_cast<Ours*>(opaque);
}
template <class Ours, class Opaque>
void create(Opaque** out, const Ours& ours, Kind kind) {
  if (out == nullptr) refuse("the result pointer is null");
  auto* opaque = new Opaque{};
  std::memcpy(static_cast<void*>(opaque), &ours, sizeof(ours));
  enroll(opaque, kind);
  *out = opaque;
}
template <class Opaque>
void destroy(Opaque* opaque, Kind kind) {
  strike(opaque, kind);
  delete opaque;
}

/// Takes an attribute whose storage is of type T.
template <class T>
T taken(const void* buffer, std::size_t bytes, int attribute) {
  if (buffer == nullptr || bytes != sizeof(T))
    refuse(cat("attribute ", attribute, ": ", bytes, " bytes are given", buffer == nullptr ? " at null" : "",
               ", its storage has ", sizeof(T)));
  T value;
  std::memcpy(&value, buffer, sizeof(T));
  return value;
}

Problem examined(cublasLtHandle_t library, cublasLtMatmulDesc_t operation, const cublasLtMatrixLayout_t (&layouts)[4]) {
  check_live(library, Kind::kLibrary);
  Problem p{inside<Operation>(operation, Kind::kOperation), {}, 0, 0, 0};
  for (int i = 0; i < 4; ++i) p.matrices[i] = inside<Layout>(layouts[i], Kind::kLayout);
  fit(p);
  return p;
}

/// Memory may have been freed since the product was queued or captured.
void execute_checked(const Call& call, std::size_t given_workspace) {
  try {
    check_pointers(call, given_workspace);
  } catch (const Refusal& refusal) {
    emulator::raise_fault(emulator::FaultKind::kOutOfBounds, cat("cublasLtMatmul, when it ran: ", refusal.reason));
  }
  execute(call);
}

}  // namespace

namespace kvgauge::cuda::emulator {
BlasCounters blas_counters() {
  const std::lock_guard lock(mutex);
  return counted;
}
}  // namespace kvgauge::cuda::emulator

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t* lightHandle) {
  return guarded("cublasLtCreate", [&] {
    int devices = 0, device = 0;
    if (lightHandle == nullptr) refuse("the result pointer is null");
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0 || cudaGetDevice(&device) != cudaSuccess)
      refuse("there is no device", CUBLAS_STATUS_NOT_INITIALIZED);
    auto* library = new cublasLtContext{device};
    enroll(library, Kind::kLibrary);
    *lightHandle = library;
  });
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t lightHandle) {
  return guarded("cublasLtDestroy", [&] { destroy(lightHandle, Kind::kLibrary); });
}

const char* cublasLtGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS: return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED: return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED: return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE: return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH: return "CUBLAS_STATUS_ARCH_MISMATCH";
    case CUBLAS_STATUS_MAPPING_ERROR: return "CUBLAS_STATUS_MAPPING_ERROR";
    case CUBLAS_STATUS_EXECUTION_FAILED: return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR: return "CUBLAS_STATUS_INTERNAL_ERROR";
    case CUBLAS_STATUS_NOT_SUPPORTED: return "CUBLAS_STATUS_NOT_SUPPORTED";
    case CUBLAS_STATUS_LICENSE_ERROR: return "CUBLAS_STATUS_LICENSE_ERROR";
  }
  return "unknown status";
}

const char* cublasLtGetStatusString(cublasStatus_t status) { return cublasLtGetStatusName(status); }

std::size_t cublasLtGetVersion(void) { return 120400; }

cublasStatus_t cublasLtLoggerSetCallback(cublasLtLoggerCallback_t callback) {
  logger = callback;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtLoggerSetLevel(int level) {
  return guarded("cublasLtLoggerSetLevel", [&] {
    if (level < 0 || level > 5) refuse(cat("level ", level));
    log_level = level;
  });
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* matLayout, cudaDataType type, std::uint64_t rows,
                                          std::uint64_t cols, std::int64_t ld) {
  return guarded("cublasLtMatrixLayoutCreate", [&] {
    create(matLayout, Layout{type, static_cast<std::int64_t>(rows), static_cast<std::int64_t>(cols), ld},
           Kind::kLayout);
  });
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t matLayout) {
  return guarded("cublasLtMatrixLayoutDestroy", [&] { destroy(matLayout, Kind::kLayout); });
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t matLayout, cublasLtMatrixLayoutAttribute_t attr,
                                                const void* buf, std::size_t sizeInBytes) {
  return guarded("cublasLtMatrixLayoutSetAttribute", [&] {
    auto& layout = inside<Layout>(matLayout, Kind::kLayout);
    const auto size = [&] { return static_cast<std::int64_t>(taken<std::uint64_t>(buf, sizeInBytes, attr)); };
    switch (attr) {
      case CUBLASLT_MATRIX_LAYOUT_TYPE:
        layout.type = static_cast<cudaDataType>(taken<std::uint32_t>(buf, sizeInBytes, attr));
        return;
      case CUBLASLT_MATRIX_LAYOUT_ROWS: layout.rows = size(); return;
      case CUBLASLT_MATRIX_LAYOUT_COLS: layout.columns = size(); return;
      case CUBLASLT_MATRIX_LAYOUT_LD: layout.ld = taken<std::int64_t>(buf, sizeInBytes, attr); return;
      case CUBLASLT_MATRIX_LAYOUT_ORDER:
        layout.order = taken<std::int32_t>(buf, sizeInBytes, attr);
        if (layout.order != CUBLASLT_ORDER_COL && layout.order != CUBLASLT_ORDER_ROW)
          refuse(cat("order ", layout.order, ": not emulated"), CUBLAS_STATUS_NOT_SUPPORTED);
        return;
    }
    refuse(cat("attribute ", static_cast<int>(attr), ": not emulated"));
  });
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* matmulDesc, cublasComputeType_t computeType,
                                        cudaDataType scaleType) {
  return guarded("cublasLtMatmulDescCreate", [&] {
    create(matmulDesc, Operation{computeType, scaleType}, Kind::kOperation);
  });
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t matmulDesc) {
  return guarded("cublasLtMatmulDescDestroy", [&] { destroy(matmulDesc, Kind::kOperation); });
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t matmulDesc, cublasLtMatmulDescAttributes_t attr,
                                              const void* buf, std::size_t sizeInBytes) {
  return guarded("cublasLtMatmulDescSetAttribute", [&] {
    auto& operation = inside<Operation>(matmulDesc, Kind::kOperation);
    const auto value = taken<std::int32_t>(buf, sizeInBytes, attr);
    switch (attr) {
      case CUBLASLT_MATMUL_DESC_COMPUTE_TYPE: operation.compute = value; return;
      case CUBLASLT_MATMUL_DESC_SCALE_TYPE: operation.scale = value; return;
      case CUBLASLT_MATMUL_DESC_POINTER_MODE: operation.pointer_mode = value; return;
      case CUBLASLT_MATMUL_DESC_TRANSA:
      case CUBLASLT_MATMUL_DESC_TRANSB:
      case CUBLASLT_MATMUL_DESC_TRANSC:
        if (value < CUBLAS_OP_N || value > CUBLAS_OP_C) refuse(cat("operation ", value));
        operation.transposed[attr - CUBLASLT_MATMUL_DESC_TRANSA] = value;
        return;
    }
    refuse(cat("attribute ", static_cast<int>(attr), ": not emulated"));
  });
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* pref) {
  return guarded("cublasLtMatmulPreferenceCreate", [&] { create(pref, Preference{}, Kind::kPreference); });
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t pref) {
  return guarded("cublasLtMatmulPreferenceDestroy", [&] { destroy(pref, Kind::kPreference); });
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t pref,
                                                    cublasLtMatmulPreferenceAttributes_t attr, const void* buf,
                                                    std::size_t sizeInBytes) {
  return guarded("cublasLtMatmulPreferenceSetAttribute", [&] {
    auto& preference = inside<Preference>(pref, Kind::kPreference);
    if (attr == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) {
      preference.workspace_bytes = taken<std::uint64_t>(buf, sizeInBytes, attr);
    } else if (attr == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK) {
      preference.reductions = taken<std::uint32_t>(buf, sizeInBytes, attr);
    } else if (attr >= CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES &&
               attr <= CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES) {
      const auto bytes = taken<std::uint32_t>(buf, sizeInBytes, attr);
      if (!std::has_single_bit(bytes)) refuse(cat("alignment ", bytes, ": no power of two"));
      preference.alignment[attr - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES] = bytes;
    } else {
      refuse(cat("attribute ", static_cast<int>(attr), ": not emulated"));
    }
  });
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t lightHandle, cublasLtMatmulDesc_t operationDesc,
                                              cublasLtMatrixLayout_t Adesc, cublasLtMatrixLayout_t Bdesc,
                                              cublasLtMatrixLayout_t Cdesc, cublasLtMatrixLayout_t Ddesc,
                                              cublasLtMatmulPreference_t preference, int requestedAlgoCount,
                                              cublasLtMatmulHeuristicResult_t heuristicResultsArray[],
                                              int* returnAlgoCount) {
  return guarded("cublasLtMatmulAlgoGetHeuristic", [&] {
    if (requestedAlgoCount <= 0 || heuristicResultsArray == nullptr || returnAlgoCount == nullptr)
      refuse("no room for results");
    const Problem p = examined(lightHandle, operationDesc, {Adesc, Bdesc, Cdesc, Ddesc});
    const auto& wanted = inside<Preference>(preference, Kind::kPreference);
    const std::vector<Algorithm> found = candidates(p, wanted);
    *returnAlgoCount = std::min(requestedAlgoCount, static_cast<int>(found.size()));
    for (int i = 0; i < *returnAlgoCount; ++i) {
      cublasLtMatmulHeuristicResult_t result{};
      std::memcpy(&result.algo, &found[static_cast<std::size_t>(i)], sizeof(Algorithm));
      result.workspaceSize = workspace_bytes(found[static_cast<std::size_t>(i)], p);
      result.wavesCount = 1;
      heuristicResultsArray[i] = result;
    }
    const std::lock_guard lock(mutex);
    ++counted.heuristics;
  });
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t lightHandle, cublasLtMatmulDesc_t operationDesc,
                                       cublasLtMatrixLayout_t Adesc, cublasLtMatrixLayout_t Bdesc,
                                       cublasLtMatrixLayout_t Cdesc, cublasLtMatrixLayout_t Ddesc,
                                       const cublasLtMatmulAlgo_t* algo, cublasLtMatmulHeuristicResult_t* result) {
  return guarded("cublasLtMatmulAlgoCheck", [&] {
    if (algo == nullptr || result == nullptr) refuse("the algorithm or the result is null");
    const Problem p = examined(lightHandle, operationDesc, {Adesc, Bdesc, Cdesc, Ddesc});
    result->workspaceSize = workspace_bytes(checked(*algo, p), p);
    result->state = CUBLAS_STATUS_SUCCESS;
    result->wavesCount = 1;
  });
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t* algo,
                                                    cublasLtMatmulAlgoConfigAttributes_t attr, void* buf,
                                                    std::size_t sizeInBytes, std::size_t* sizeWritten) {
  return guarded("cublasLtMatmulAlgoConfigGetAttribute", [&] {
    Algorithm algorithm;
    if (algo == nullptr) refuse("the algorithm is null");
    std::memcpy(&algorithm, algo, sizeof(algorithm));
    if (algorithm.magic != kMagic) refuse("the algorithm is none that a heuristic returned");
    std::int32_t value = 0;
    switch (attr) {
      case CUBLASLT_ALGO_CONFIG_ID: value = static_cast<std::int32_t>(algorithm.kernel); break;
      case CUBLASLT_ALGO_CONFIG_TILE_ID: value = 15; break;  // 64x64
      case CUBLASLT_ALGO_CONFIG_SPLITK_NUM: value = algorithm.parts; break;
      case CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME:
        value = algorithm.parts == 1 ? CUBLASLT_REDUCTION_SCHEME_NONE : CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
        break;
    }
    if (sizeWritten != nullptr) *sizeWritten = sizeof(value);
    if (sizeInBytes == 0 && sizeWritten != nullptr) return;
    if (buf == nullptr || sizeInBytes != sizeof(value))
      refuse(cat("attribute ", static_cast<int>(attr), " has ", sizeof(value), " bytes"));
    std::memcpy(buf, &value, sizeof(value));
  });
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t lightHandle, cublasLtMatmulDesc_t computeDesc, const void* alpha,
                              const void* A, cublasLtMatrixLayout_t Adesc, const void* B, cublasLtMatrixLayout_t Bdesc,
                              const void* beta, const void* C, cublasLtMatrixLayout_t Cdesc, void* D,
                              cublasLtMatrixLayout_t Ddesc, const cublasLtMatmulAlgo_t* algo, void* workspace,
                              std::size_t workspaceSizeInBytes, cudaStream_t stream) {
  return guarded("cublasLtMatmul", [&] {
    if (alpha == nullptr || beta == nullptr) refuse("alpha or beta is null");
    const Problem p = examined(lightHandle, computeDesc, {Adesc, Bdesc, Cdesc, Ddesc});
    Algorithm algorithm;
    if (algo != nullptr) {
      algorithm = checked(*algo, p);
    } else {  // the library asks its heuristic itself, for the pointers at hand
      Preference preference{.workspace_bytes = workspaceSizeInBytes, .alignment = {1, 1, 1, 1}};
      algorithm = candidates(p, preference).front();
      const std::lock_guard lock(mutex);
      ++counted.heuristics;
    }
    const Call call{p, algorithm, *static_cast<const float*>(alpha), *static_cast<const float*>(beta), A, B,
                    C, D,         static_cast<float*>(workspace)};
    check_pointers(call, workspaceSizeInBytes);
    const cudaError_t queued = emulator::enqueue(
        stream, "cublasLtMatmul", [call, workspaceSizeInBytes] { execute_checked(call, workspaceSizeInBytes); });
    if (queued != cudaSuccess)
      refuse(cat("the stream refuses work: ", cudaGetErrorString(queued)), CUBLAS_STATUS_EXECUTION_FAILED);
    const std::lock_guard lock(mutex);
    ++counted.products;
  });
}

}  // extern "C"
