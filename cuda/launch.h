#pragma once
// The seam between kernels and what runs them. Under nvcc it is the CUDA runtime; as plain C++ it is cuda_emulator.h,
// which the include path of the emulated build provides (tests/emulator): keywords become macros and every thread of a
// block a fibre.
#if defined(__CUDACC__)
#include <cuda_runtime.h>
#else
#include "cuda_emulator.h"
#endif

#include <cstdint>

#include "cuda/check.h"
#include "cuda/stream_handle.h"

namespace kvgauge::cuda {

/// Blocks, threads of a block, and bytes of dynamic shared memory (what shared<T>() of device.cuh points to).
struct LaunchShape {
  dim3 grid;
  dim3 block;
  unsigned shared_bytes = 0;
};

/// Launches `kernel` with its one argument, copied by value. A kernel has external linkage (its symbol names it for
/// ptxsim and in messages). The grid must not be empty: launchers return before that.
/// @throws DeviceError naming the kernel and the shape if the launch is refused
template <class Args>
void launch(StreamHandle stream, const LaunchShape& shape, void (*kernel)(Args), const Args& args) {
  const void* const symbol = reinterpret_cast<const void*>(kernel);
#if defined(__CUDACC__)
  constexpr unsigned kSharedWithoutAsking = 48 << 10;
  cudaError_t status = cudaSuccess;
  if (shape.shared_bytes > kSharedWithoutAsking)
    status =
        cudaFuncSetAttribute(symbol, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shape.shared_bytes));
  void* arguments[] = {const_cast<Args*>(&args)};
  if (status == cudaSuccess)
    status = cudaLaunchKernel(symbol, shape.grid, shape.block, arguments, shape.shared_bytes, stream);
#else
  const cudaError_t status = emulator::launch(
      {shape.grid, shape.block, shape.shared_bytes}, stream, symbol, &args, sizeof(Args),
      [](const void* function, const void* argument) {
        reinterpret_cast<void (*)(Args)>(const_cast<void*>(function))(*static_cast<const Args*>(argument));
      });
#endif
  check_launch(status, symbol, shape.grid.x, shape.grid.y, shape.grid.z, shape.block.x * shape.block.y * shape.block.z,
               shape.shared_bytes, stream);
}

}  // namespace kvgauge::cuda
