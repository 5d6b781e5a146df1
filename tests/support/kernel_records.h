#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace kvgauge::testing {

/// Every test program that runs kernels appends to <build>/kernel_records.txt which kernels were executed by what (its
/// main program links kernel_records_environment.cpp); scripts/kernel_report reads it.
void record_kernels();

/// Appends to <build>/kernel_bytes.txt what the kernels whose demangled name contains `kernel` moved in global memory
/// in one case, and the least that the case needs: inputs read once, outputs written once. For the report; the test
/// judges.
/// @param executor that counted, e.g. "ptx sm_80"; @param what the case, e.g. "llama-3.1-8b, 256 tokens"; neither
/// contains a tab
void record_kernel_bytes(std::string_view kernel, std::string_view executor, std::string_view what, std::uint64_t moved,
                         std::uint64_t minimum);

}  // namespace kvgauge::testing
