#pragma once
// What one instruction set's copy of the kernels offers; table.cpp gathers it.
#include "cpu/kernels.h"
#include "cpu/kernels/simd.h"

namespace kvgauge::cpu::KVGAUGE_ISA {

void rms_norm_row(float* residual, const float* x, const float* weight, float eps, void* out, bool out_bf16,
                  std::int64_t columns);
void swiglu_row(const float* gate_up, void* out, bool out_bf16, std::int64_t columns);
void widen_row(const std::uint16_t* bf16, float* out, std::int64_t columns);
void narrow_row(const float* x, std::uint16_t* bf16, std::int64_t columns);
void panel_f32(const PanelTask& task);
void panel_bf16(const PanelTask& task);
void panel_coded(const CodedTask& task);
void code_row(const void* x, bool bf16, std::int64_t count, int group, std::int8_t* codes, float* scales,
              std::int32_t* sums);
void attend_split(const SplitTask& task);
void merge_split(float* maximum, float* sum, float* weighted, const float* split_maximum, const float* split_sum,
                 const float* split_weighted, const std::int32_t* limits, int queries, int head_dim);
void row_extremes(const float* z, std::int64_t count, RowStats& stats);
void row_stats(const float* z, std::int64_t count, RowStats& stats);
std::int64_t indices_between(const float* weights, std::int64_t count, float from, float below, std::int32_t* ids);
double row_weights(const float* z, std::int64_t count, float scale, float maximum, float* weights);
void add_row_f32(const float* row, float* sums, std::int64_t count);
void add_row_bf16(const std::uint16_t* row, float* sums, std::int64_t count);
void add_row_f16(const std::uint16_t* row, float* sums, std::int64_t count);
void scale_row(float* values, float factor, std::int64_t count);
TrajectoryDistances distances(const float* a, const float* b, std::int64_t count);
void rectify_row(float* a, float bias, std::int64_t count);
void weigh_rows(const float* a, std::int64_t stride, std::int64_t rows, const float* weights, float bias, float* out,
                std::int64_t count);
HiddenSums backward_row(float* a, const float* slopes, float weight, std::int64_t count);
void adam_row(const AdamTask& task);

extern const Kernels kKernels;

}  // namespace kvgauge::cpu::KVGAUGE_ISA
