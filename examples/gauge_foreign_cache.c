/* Gauges the KV cache of an engine that is not kvgauge: here a small one in vLLM's layout, made up on the spot.
 *
 *   cc gauge_foreign_cache.c $(pkg-config --cflags --libs kvgauge) -lm -o gauge_foreign_cache */
#include <kvgauge/kvgauge.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { LAYERS = 4, BLOCKS = 12, BLOCK_SIZE = 16, KV_HEADS = 2, HEAD_DIM = 8, PROMPT = 20, CACHED = 60 };

static void check(kvgauge_status status) {
  if (status == KVGAUGE_OK) return;
  fprintf(stderr, "gauge_foreign_cache: %s\n", kvgauge_last_error());
  exit(1);
}

/* Where the engine keeps element j of K (0) or V (1): tensors [2, blocks, block_size, kv_heads, head_dim]. */
static float* element(float* tensor, int value, int block, int slot, int head, int j) {
  return tensor + (((value * BLOCKS + block) * BLOCK_SIZE + slot) * KV_HEADS + head) * HEAD_DIM + j;
}

int main(void) {
  float* layers[LAYERS];
  const int32_t blocks[] = {7, 2, 11, 5}; /* the sequence's block table */
  for (int layer = 0; layer < LAYERS; ++layer) {
    layers[layer] = calloc(2 * BLOCKS * BLOCK_SIZE * KV_HEADS * HEAD_DIM, sizeof(float));
    if (layers[layer] == NULL) return 1;
    for (int t = 0; t < CACHED; ++t)
      for (int value = 0; value < 2; ++value)
        for (int head = 0; head < KV_HEADS; ++head)
          for (int j = 0; j < HEAD_DIM; ++j)
            *element(layers[layer], value, blocks[t / BLOCK_SIZE], t % BLOCK_SIZE, head, j) =
                (float)cos(0.1 * t * (j + 1) + layer + head) + (float)value;
  }

  kvgauge_context* context;
  check(kvgauge_context_create(NULL, &context)); /* the processor */
  const kvgauge_cache_shape shape = {KVGAUGE_F32, LAYERS, KV_HEADS, HEAD_DIM, BLOCK_SIZE, BLOCKS};
  kvgauge_cache* cache;
  check(kvgauge_cache_create_vllm(&shape, KVGAUGE_VLLM_KV_NHD, (const void* const*)layers, &cache));

  /* The response's trajectory, as an engine would extend it: the first token, then the others as they come. */
  kvgauge_trajectory* trajectory;
  check(kvgauge_trajectory_create(context, NULL, KV_HEADS, HEAD_DIM, CACHED, &trajectory));
  kvgauge_sequence response = {blocks, sizeof blocks / sizeof blocks[0], 0, 0};
  check(kvgauge_span_positions(KVGAUGE_RESPONSE, PROMPT, CACHED, &response.begin, &response.end));
  const int64_t end = response.end;
  for (response.end = response.begin + 1; response.end <= end; response.begin = response.end++)
    check(kvgauge_trajectory_extend(context, cache, &trajectory, &response, 1, NULL));

  kvgauge_sums sums;
  kvgauge_scores scores;
  check(kvgauge_trajectory_sums(trajectory, &sums));
  check(kvgauge_scores_of(&sums, 1, 1, &scores));
  printf("kvgauge %s: %lld tokens, normalized R %.6f, C %.6f\n", kvgauge_version(), (long long)scores.tokens,
         scores.normalized_r, scores.normalized_c);

  /* The last 32 positions as one feature, and an embedding of the whole text. */
  const kvgauge_window_spec window = {KVGAUGE_KV, NULL, 0, 1, 1};
  const kvgauge_embedding_spec embedding = {KVGAUGE_KV, NULL, 0, KVGAUGE_MEAN, KVGAUGE_MEAN, KVGAUGE_MEAN, 1};
  const kvgauge_sequence last = {blocks, 4, CACHED - 32, CACHED}, all = {blocks, 4, 0, CACHED};
  float feature[2 * HEAD_DIM], vector[2 * HEAD_DIM];
  if (kvgauge_window_features(cache, &window) != 2 * HEAD_DIM) return 1;
  if (kvgauge_embedding_values(cache, &embedding) != 2 * HEAD_DIM) return 1;
  check(kvgauge_windows(context, cache, &window, NULL, &last, 1, feature, NULL, NULL));
  check(kvgauge_embed(context, cache, &embedding, &all, 1, vector, NULL));
  printf("feature[0] %.6f, embedding[0] %.6f\n", feature[0], vector[0]);

  kvgauge_trajectory_destroy(trajectory);
  kvgauge_cache_destroy(cache);
  kvgauge_context_destroy(context);
  for (int layer = 0; layer < LAYERS; ++layer) free(layers[layer]);
  return scores.tokens == CACHED - PROMPT && isfinite(scores.normalized_r) ? 0 : 1;
}
