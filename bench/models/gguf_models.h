#pragma once
#include <cstdint>
#include <filesystem>

#include "core/stored_type.h"
#include "loader/model_config.h"

namespace kvgauge::bench {

/// The type of a matrix in a file of type `wanted`, as llama-quantize chooses it for dense models: the head of a
/// quantized file (the embedding, where that is the head) is Q6_K, or Q8_0 in a Q8_0 file; rows that are no multiple of
/// 256 take Q8_0 instead of Q6_K and Q5_0 instead of Q4_K; F16 if they are no multiple of 32. Its mixtures (Q4_K_M and
/// the like give some layers more bits) are not made.
/// @param head whether the matrix makes the logits
StoredType type_in_file(StoredType wanted, bool head, std::int64_t columns);

/// Writes a GGUF file of the given shape: matrices N(0, 0.02), norms 1 + N(0, 0.05), biases N(0, 0.1), vectors in F32.
/// The values depend on the seed and the shape, not on the type: files of several types hold the same weights, rounded.
/// Without `tokenizer` the vocabulary is 256 bytes, one merge and an end token; with it, the tokenizer and chat
/// template of that GGUF file. Tokens up to the shape's vocabulary are padding that no text gives.
/// @throws UsageError (a tokenizer with more tokens than the shape), OutputError, and what
/// parse_gguf throws
void write_random_model(const std::filesystem::path& path, const ModelConfig& shape, StoredType type,
                        std::uint64_t seed, const std::filesystem::path& tokenizer = {});

/// Writes a model in another type: matrices are widened, then narrowed by type_in_file.
/// @param from a GGUF file, of which everything else stays; or a Hugging Face folder without RoPE scaling whose
/// tokenizer GGUF has a name for (of more than three ends of a response the first three are kept)
/// @throws FormatError (a weight that is not finite or above 65504), ConfigError, OutputError, what parse_gguf and
/// ModelFiles::open throw
void rewrite_model(const std::filesystem::path& from, const std::filesystem::path& path, StoredType type);

}  // namespace kvgauge::bench
