#pragma once
#include "ops/args.h"

namespace kvgauge {

/// How one token is drawn from one row of logits z.
/// temperature 0: the largest logit, lowest id on ties; nothing else is looked at. Otherwise, in this order
/// (transformers'): z / temperature; top_k largest (0 = all; all that tie with the k-th stay out: exactly k, lower ids
/// first); top_p: the smallest set of most likely tokens whose probability reaches top_p (1 = all), at least one;
/// min_p: those with p >= min_p * p_max. Then inverse transform sampling in descending probability (ascending id on
/// ties) with u = uniform(seed, stream, draw).
struct SampleRequest {
  std::int32_t row = 0;  ///< of the logits; several requests may name one row (n > 1)
  float temperature = 0, top_p = 1, min_p = 0;
  std::int32_t top_k = 0;
  std::uint64_t seed = 0, stream = 0, draw = 0;
};

struct SampleArgs {
  MatrixView logits;  ///< f32 [rows, vocab]; not changed
  std::span<const SampleRequest> requests;
  std::span<std::int32_t> out;  ///< on the host, there after Backend::wait(): chosen token of each; -1 if the row holds NaN or +infinity or nothing finite
};

}  // namespace kvgauge
