#include "cpu/kernels/table.h"

#define KVGAUGE_TEXT_OF(x) #x
#define KVGAUGE_TEXT(x) KVGAUGE_TEXT_OF(x)

namespace kvgauge::cpu::KVGAUGE_ISA {

const Kernels kKernels = {
    .name = KVGAUGE_TEXT(KVGAUGE_ISA),
    .rms_norm_row = rms_norm_row,
    .swiglu_row = swiglu_row,
    .widen_row = widen_row,
    .narrow_row = narrow_row,
    .panel_f32 = panel_f32,
    .panel_bf16 = panel_bf16,
    .panel_coded = panel_coded,
    .code_row = code_row,
    .attend_split = attend_split,
    .merge_split = merge_split,
    .row_extremes = row_extremes,
    .row_stats = row_stats,
    .row_weights = row_weights,
    .indices_between = indices_between,
    .add_row_f32 = add_row_f32,
    .add_row_bf16 = add_row_bf16,
    .add_row_f16 = add_row_f16,
    .scale_row = scale_row,
    .distances = distances,
    .rectify_row = rectify_row,
    .weigh_rows = weigh_rows,
    .backward_row = backward_row,
    .adam_row = adam_row,
};

}  // namespace kvgauge::cpu::KVGAUGE_ISA
