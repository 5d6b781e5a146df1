#include "cpu/onednn_products.h"

#include <omp.h>

#include <algorithm>
#include <cstring>
#include <dnnl.hpp>
#include <map>
#include <vector>

#include "core/buffer.h"

namespace kvgauge::cpu {
namespace {

using dnnl::memory;

/// Row counts that get a primitive each: batch sizes in steps of 8, then prompt chunks.
std::vector<std::int64_t> row_counts(std::int64_t most) {
  std::vector<std::int64_t> counts;
  for (std::int64_t rows = OneDnnProducts::kLeastRows; rows <= most; rows += rows < 64    ? 8
                                                                             : rows < 128 ? 32
                                                                             : rows < 512 ? 128
                                                                                          : rows)
    counts.push_back(rows);
  return counts;
}

struct Product {
  dnnl::matmul primitive;
  memory x, panels, out, scratch;
};

}  // namespace

struct OneDnnProducts::State {
  int threads = 1;
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  /// (columns, depth) -> (rows -> product)
  std::map<std::pair<std::int64_t, std::int64_t>, std::map<std::int64_t, Product>> products;
  Buffer scratch;
};

bool OneDnnProducts::preferred() {
  // the enumerators are ascending sets of features; the first with bf16 tiles is avx512_core_amx
  return static_cast<int>(dnnl::get_effective_cpu_isa()) >= static_cast<int>(dnnl::cpu_isa::avx512_core_amx);
}

OneDnnProducts::OneDnnProducts(int threads) : state_(std::make_unique<State>()) { state_->threads = threads; }
OneDnnProducts::~OneDnnProducts() = default;

void OneDnnProducts::prepare(std::int64_t columns, std::int64_t depth, std::int64_t rows) {
  omp_set_num_threads(state_->threads);  // a primitive divides its work when it is made
  auto& products = state_->products[{columns, depth}];
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  for (const std::int64_t count : row_counts(rows)) {
    if (products.contains(count)) continue;
    const memory::desc x({count, depth}, memory::data_type::bf16, memory::format_tag::ab);
    const memory::desc panels({depth, columns}, memory::data_type::bf16, memory::format_tag::BA16a64b2a);
    const memory::desc out({count, columns}, memory::data_type::f32, memory::format_tag::ab);
    const dnnl::matmul::primitive_desc plan(dnnl::matmul::desc(x, panels, out), attributes, state_->engine, true);
    if (!plan || std::strncmp(plan.impl_info_str(), "brg", 3) != 0) continue;  // its slow paths lose to our kernels
    const auto scratch_bytes = plan.scratchpad_desc().get_size();
    if (scratch_bytes > state_->scratch.size()) state_->scratch = Buffer(scratch_bytes);
    products.emplace(
        count, Product{dnnl::matmul(plan), memory(x, state_->engine, DNNL_MEMORY_NONE),
                       memory(panels, state_->engine, DNNL_MEMORY_NONE), memory(out, state_->engine, DNNL_MEMORY_NONE),
                       memory(plan.scratchpad_desc(), state_->engine, DNNL_MEMORY_NONE)});
  }
}

std::int64_t OneDnnProducts::run(const void* x, std::int64_t rows, const void* panels, std::int64_t columns,
                                 std::int64_t depth, float* out) {
  const auto shape = state_->products.find({columns, depth});
  if (shape == state_->products.end()) return 0;
  auto next = shape->second.upper_bound(rows);
  if (next == shape->second.begin()) return 0;
  auto& [count, product] = *--next;
  product.x.set_data_handle(const_cast<void*>(x));
  product.panels.set_data_handle(const_cast<void*>(panels));
  product.out.set_data_handle(out);
  product.scratch.set_data_handle(state_->scratch.data());
  omp_set_num_threads(state_->threads);
  const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, product.x.get()},
                                       {DNNL_ARG_WEIGHTS, product.panels.get()},
                                       {DNNL_ARG_DST, product.out.get()},
                                       {DNNL_ARG_SCRATCHPAD, product.scratch.get()}};
  dnnl::error::wrap_c_api(dnnl_primitive_execute(product.primitive.get(), state_->stream.get(), 4, arguments),
                          "matmul");
  state_->stream.wait();
  return count;
}

}  // namespace kvgauge::cpu
