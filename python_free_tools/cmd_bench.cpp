#include <memory>
#include <vector>

#include "bench_commands.h"
#include "kvgauge/error.h"

namespace kvgauge::cli {
namespace {

constexpr const char* kExamples = R"(
Examples:
  kvgauge bench latency -p 512 -n 128 -b 1,8,32             time to first token, per token, end to end
  kvgauge bench throughput --num-prompts 200 --request-rate 4
  kvgauge bench overhead                                    what the gauges cost, paired
  kvgauge bench memory --shape qwen3-32b                    bytes, and how many sequences fit
  kvgauge bench kernels --measure                           bytes, FLOP and floor time of a decode step

kvgauge bench NAME --help explains a benchmark.
)";

}  // namespace

Command add_bench(CLI::App& root) {
  CLI::App* const app =
      root.add_subcommand("bench", "Benchmarks: latency, throughput, overhead of the gauges, memory, kernels");
  const auto benchmarks = std::make_shared<std::vector<Command>>();
  for (const auto add :
       {add_bench_latency, add_bench_throughput, add_bench_overhead, add_bench_memory, add_bench_kernels}) {
    benchmarks->push_back(add(*app));
    benchmarks->back().app->allow_extras();
  }
  app->get_formatter()->label("SUBCOMMAND", "NAME");
  app->get_formatter()->label("Subcommands", "Benchmarks");
  app->require_subcommand(0, 1);
  app->footer(kExamples);
  return {app, [benchmarks] {
            for (const Command& benchmark : *benchmarks)
              if (benchmark.app->parsed()) return benchmark.run();
            throw UsageError(
                "bench: no benchmark was named, one of latency, throughput, overhead, memory, kernels was needed");
          }};
}

}  // namespace kvgauge::cli
