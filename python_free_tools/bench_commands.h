#pragma once
#include "cli.h"

namespace kvgauge::cli {

// One benchmark each, a verb of `kvgauge bench`.
Command add_bench_latency(CLI::App& bench);
Command add_bench_throughput(CLI::App& bench);
Command add_bench_overhead(CLI::App& bench);
Command add_bench_memory(CLI::App& bench);
Command add_bench_kernels(CLI::App& bench);

}  // namespace kvgauge::cli
