#pragma once

/// Marks small functions that kernels use as well as host code. Plain C++ everywhere but under nvcc.
#if defined(__CUDACC__)
#define KVGAUGE_HOST_DEVICE __host__ __device__
#else
#define KVGAUGE_HOST_DEVICE
#endif
