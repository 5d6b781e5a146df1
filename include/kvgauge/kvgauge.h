/* Gauges for the KV caches of other engines: how an answer's cache entries move from token to token (KV-CoE), what a
 * window of them says about difficulty, and what they say about a text (embeddings). C99, no types of CUDA.
 *
 *   kvgauge_context     where the work is done: the processor, or a CUDA device
 *   kvgauge_cache       where K and V of every layer lie: a description, nothing is copied
 *   kvgauge_trajectory  what one sequence keeps between calls; extended piece by piece or over a finished span
 *   kvgauge_head        the difficulty regressor's weights
 *
 * Every function but the destroy ones returns a status or a value that cannot be wrong; kvgauge_last_error() says in
 * words what a status other than KVGAUGE_OK means. Arguments are checked; what cannot be checked is that the memory a
 * cache names is there while a call (on a device: the work that it queued) reads it. Threads: calls on handles of one
 * context take turns; different contexts are independent. A handle must not be destroyed while another thread uses it.
 * Handles keep their context alive, so the order in which they are destroyed does not matter. Formulas:
 * docs/gauging_other_engines.md. Undefined numbers are NaN. */
#ifndef KVGAUGE_KVGAUGE_H
#define KVGAUGE_KVGAUGE_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define KVGAUGE_API __attribute__((visibility("default")))
#else
#define KVGAUGE_API
#endif

/* In C++ every int is a value of an enumeration of this header: one that has no name is refused, not undefined. */
#ifdef __cplusplus
#define KVGAUGE_INT : int
#else
#define KVGAUGE_INT
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define KVGAUGE_VERSION_MAJOR 0
#define KVGAUGE_VERSION_MINOR 1
#define KVGAUGE_VERSION_PATCH 0

typedef enum kvgauge_status KVGAUGE_INT {
  KVGAUGE_OK = 0,
  KVGAUGE_INVALID_ARGUMENT = 1,
  KVGAUGE_OUT_OF_MEMORY = 2, /* of the host */
  KVGAUGE_DEVICE_ERROR = 3,  /* no such device, its memory, a fault on it, a processor that lacks what is needed */
  KVGAUGE_INTERNAL_ERROR = 4
} kvgauge_status;

/* "0.1.0": of the library that runs, which may be newer than this header. */
KVGAUGE_API const char* kvgauge_version(void);
/* Of this thread's latest call that could fail: "" if it did not, else "function: what was found, what was needed".
 * Valid until the thread's next call. */
KVGAUGE_API const char* kvgauge_last_error(void);

/* ---- where the work is done */

typedef struct kvgauge_context kvgauge_context;

typedef struct kvgauge_context_options {
  const char* device;     /* "cpu"; "cuda", "cuda:N" in builds with CUDA; "emulated" in builds for tests. NULL: "cpu" */
  int32_t threads;        /* of the processor; 0: all cores that the process may use */
  uint64_t device_memory; /* bytes that a context reserves on a CUDA device for lists and trajectories; 0: 64 MiB */
} kvgauge_context_options;

/* options may be NULL: the processor with all its cores. */
KVGAUGE_API kvgauge_status kvgauge_context_create(const kvgauge_context_options* options, kvgauge_context** context);
KVGAUGE_API void kvgauge_context_destroy(kvgauge_context* context); /* NULL is allowed, here and below */
/* Of the devices that contexts can name in this build, e.g. "cpu|cuda|cuda:N". */
KVGAUGE_API const char* kvgauge_devices(void);

/* ---- where K and V lie */

typedef enum kvgauge_dtype KVGAUGE_INT { KVGAUGE_F32 = 0, KVGAUGE_F16 = 1, KVGAUGE_BF16 = 2 } kvgauge_dtype;

/* Element j of position t of a sequence with block table `blocks`, in layer l and KV head h, is
 *   k[l][blocks[t / block_tokens] * block_stride + h * head_stride + t % block_tokens * token_stride + j],  v likewise.
 */
typedef struct kvgauge_cache_layout {
  const void* const* k; /* [layers] first element of block 0; aligned to the element */
  const void* const* v; /* [layers] */
  kvgauge_dtype dtype;
  int32_t layers, kv_heads, head_dim;
  int32_t block_tokens;                            /* positions in a block */
  int64_t blocks;                                  /* ids in block tables lie in [0, blocks) */
  int64_t block_stride, head_stride, token_stride; /* in elements */
} kvgauge_cache_layout;

/* The pointers' memory belongs to the caller: of the host for a context on the processor, of the device (or managed)
 * for one on a device. Cheap: where an engine moves its tensors, make a new one. */
typedef struct kvgauge_cache kvgauge_cache;
KVGAUGE_API kvgauge_status kvgauge_cache_create(const kvgauge_cache_layout* layout, kvgauge_cache** cache);
KVGAUGE_API void kvgauge_cache_destroy(kvgauge_cache* cache);

/* What one layer's tensor of a vLLM cache looks like in memory (its strides, which permuted views do not show in the
 * shape). */
typedef enum kvgauge_vllm_order KVGAUGE_INT {
  KVGAUGE_VLLM_KV_NHD = 0, /* [2, blocks, block_tokens, kv_heads, head_dim]: FlashAttention */
  KVGAUGE_VLLM_KV_HND = 1, /* [2, blocks, kv_heads, block_tokens, head_dim]: the same with VLLM_KV_CACHE_LAYOUT=HND */
  KVGAUGE_VLLM_BLOCK_NHD = 2, /* [blocks, 2, block_tokens, kv_heads, head_dim]: FlashInfer */
  KVGAUGE_VLLM_BLOCK_HND = 3  /* [blocks, 2, kv_heads, block_tokens, head_dim] */
} kvgauge_vllm_order;

typedef struct kvgauge_cache_shape {
  kvgauge_dtype dtype;
  int32_t layers, kv_heads, head_dim;
  int32_t block_tokens;
  int64_t blocks;
} kvgauge_cache_shape;

/* vLLM: tensors[layers], contiguous. */
KVGAUGE_API kvgauge_status kvgauge_cache_create_vllm(const kvgauge_cache_shape* shape, kvgauge_vllm_order order,
                                                     const void* const* tensors, kvgauge_cache** cache);
/* transformers: k[layers], v[layers], each contiguous [batch, kv_heads, positions, head_dim] (or without the batch:
 * blocks = 1). Row b of the batch is block b: blocks = batch, block_tokens = positions, and a sequence's table is that
 * one id. */
KVGAUGE_API kvgauge_status kvgauge_cache_create_contiguous(const kvgauge_cache_shape* shape, const void* const* k,
                                                           const void* const* v, kvgauge_cache** cache);
/* kvgauge's own pages: pages[layers], each [blocks, 2, kv_heads, block_tokens, head_dim]; the engine's block_tokens
 * is 32. */
KVGAUGE_API kvgauge_status kvgauge_cache_create_pages(const kvgauge_cache_shape* shape, const void* const* pages,
                                                      kvgauge_cache** cache);

/* Positions [begin, end) of one sequence. */
typedef struct kvgauge_sequence {
  const int32_t* blocks; /* [block_count], on the host; covers `end` positions */
  size_t block_count;
  int64_t begin, end;
} kvgauge_sequence;

typedef enum kvgauge_span KVGAUGE_INT {
  KVGAUGE_RESPONSE = 0, /* [prompt, cached): every sampled token that has K and V */
  KVGAUGE_BOUNDARY = 1, /* [prompt - 1, cached) */
  KVGAUGE_ALL = 2,      /* [0, cached) */
  KVGAUGE_PROMPT = 3    /* [0, prompt) */
} kvgauge_span;

/* The positions of a span when `cached` positions of a sequence are in the cache, the first `prompt` of them its prompt
 * (at least one). An engine that never feeds back the last sampled token has prompt + sampled - 1. */
KVGAUGE_API kvgauge_status kvgauge_span_positions(kvgauge_span span, int64_t prompt, int64_t cached, int64_t* begin,
                                                  int64_t* end);

/* ---- trajectories: KV-CoE */

typedef enum kvgauge_part KVGAUGE_INT { KVGAUGE_V = 0, KVGAUGE_K = 1, KVGAUGE_KV = 2 } kvgauge_part;

typedef struct kvgauge_trajectory_spec {
  kvgauge_part part;
  const int32_t* layers; /* ascending; NULL: all */
  size_t layer_count;
  /* [head_dim / 2], those that RoPE turned K by (pairs i, i + head_dim / 2): keys are turned back before they are
   * compared. NULL: keys as they are cached. */
  const double* inverse_frequencies;
} kvgauge_trajectory_spec;

typedef struct kvgauge_trajectory kvgauge_trajectory;

/* An empty trajectory for sequences of caches with that many heads, of at most `capacity` positions. spec may be NULL:
 * V of all layers. The spec is copied. */
KVGAUGE_API kvgauge_status kvgauge_trajectory_create(kvgauge_context* context, const kvgauge_trajectory_spec* spec,
                                                     int32_t kv_heads, int32_t head_dim, int64_t capacity,
                                                     kvgauge_trajectory** trajectory);
KVGAUGE_API void kvgauge_trajectory_destroy(kvgauge_trajectory* trajectory);

/* Extends trajectories[i] by sequences[i], all in one launch. They must be of this context, with the same spec, each
 * named once; begin must follow the last position that the trajectory has seen (any, if it is empty); empty ranges are
 * allowed. Equal cache bytes give equal bits, for any split into calls, any batch and any layout. stream: on a CUDA
 * device a cudaStream_t (NULL: the default stream), not one that is being captured. The work starts after what the
 * stream holds now, and what is put there afterwards starts after the work; the call returns when the work is queued.
 * On the processor NULL, and the work is done. */
KVGAUGE_API kvgauge_status kvgauge_trajectory_extend(kvgauge_context* context, const kvgauge_cache* cache,
                                                     kvgauge_trajectory* const* trajectories,
                                                     const kvgauge_sequence* sequences, size_t count, void* stream);

KVGAUGE_API int64_t kvgauge_trajectory_points(const kvgauge_trajectory* trajectory);   /* positions seen; 0 for NULL */
KVGAUGE_API kvgauge_status kvgauge_trajectory_restart(kvgauge_trajectory* trajectory); /* forgets every position */
/* A second one with the same points, which goes on by itself: for sequences that fork. */
KVGAUGE_API kvgauge_status kvgauge_trajectory_copy(const kvgauge_trajectory* trajectory, kvgauge_trajectory** copy);

/* e_t: the layer average of a position's entries; dr_t = |e_{t+1} - e_t|, dtheta_t = angle(e_{t+1}, e_t) in radians, t
 * = 1..T-1; m_t = dr_t / end_dr, a_t = dtheta_t / end_dtheta. Sums in ascending order, in double. */
typedef struct kvgauge_sums {
  int64_t tokens; /* T */
  double sum_dr, sum_dtheta;
  double end_dr, end_dtheta;       /* |e_T - e_1|, angle(e_T, e_1) */
  double sum_m_cos_a, sum_m_sin_a; /* NaN where end_dr or end_dtheta is at most 1e-12 */
  double sum_dr_cos, sum_dr_sin;
} kvgauge_sums;

/* Higher: more likely right. */
typedef struct kvgauge_scores {
  int64_t tokens;
  int32_t valid; /* 0 for T <= 1: there are no differences */
  double paper_r, paper_c;
  double normalized_r, normalized_c;
  double normalized_cart_c;
  double diff_r;
  double polar_raw_c;
  double mean_dr, mean_dtheta, end_dr, end_dtheta;
} kvgauge_scores;

/* Both wait for the device. */
KVGAUGE_API kvgauge_status kvgauge_trajectory_sums(const kvgauge_trajectory* trajectory, kvgauge_sums* sums);
/* dr and dtheta have room for `room` values each, points - 1 are written (0 for an empty one); either may be NULL. */
KVGAUGE_API kvgauge_status kvgauge_trajectory_steps(const kvgauge_trajectory* trajectory, float* dr, float* dtheta,
                                                    size_t room);
/* alpha and beta weigh paper_r; 1 and 1 where nothing is known. */
KVGAUGE_API kvgauge_status kvgauge_scores_of(const kvgauge_sums* sums, double alpha, double beta,
                                             kvgauge_scores* scores);

/* ---- windows: sums of K and V, and the difficulty that a regressor reads off them */

typedef struct kvgauge_window_spec {
  kvgauge_part part;     /* K's values come before V's */
  const int32_t* layers; /* ascending; NULL: all. The mean over them is taken */
  size_t layer_count;
  int32_t mean_over_positions; /* 0: their sum */
  int32_t mean_over_heads;     /* 0: one head after another */
} kvgauge_window_spec;

typedef struct kvgauge_head kvgauge_head;

/* d = w2 . relu(w1 x + b1) + b2 with x = (f - mean) / deviation, or x = f where both are NULL. All f32 on the host,
 * copied: w1 [hidden, features] row-major, b1 [hidden], w2 [hidden], b2 [1], mean and deviation [features], no
 * deviation 0. */
typedef struct kvgauge_head_weights {
  int64_t features, hidden;
  const float* w1;
  const float* b1;
  const float* w2;
  const float* b2;
  const float* mean;
  const float* deviation;
} kvgauge_head_weights;
KVGAUGE_API kvgauge_status kvgauge_head_create(kvgauge_context* context, const kvgauge_head_weights* weights,
                                               kvgauge_head** head);
KVGAUGE_API void kvgauge_head_destroy(kvgauge_head* head);

/* Numbers of a window's feature: (2 if part is KV) * (kv_heads unless averaged) * head_dim; 0 if an argument is NULL or
 * wrong. */
KVGAUGE_API int64_t kvgauge_window_features(const kvgauge_cache* cache, const kvgauge_window_spec* spec);
/* Windows of at least one position each. features [count, kvgauge_window_features()] and difficulties [count] are on
 * the host; either may be NULL, difficulties must be where head is. stream as for kvgauge_trajectory_extend(); returns
 * when the numbers are there. */
KVGAUGE_API kvgauge_status kvgauge_windows(kvgauge_context* context, const kvgauge_cache* cache,
                                           const kvgauge_window_spec* spec, const kvgauge_head* head,
                                           const kvgauge_sequence* sequences, size_t count, float* features,
                                           float* difficulties, void* stream);

/* ---- embeddings */

typedef enum kvgauge_pool KVGAUGE_INT {
  KVGAUGE_MEAN = 0,
  KVGAUGE_SUM = 1,
  KVGAUGE_FIRST = 2,
  KVGAUGE_LAST = 3,
  KVGAUGE_FLATTEN = 4
} kvgauge_pool;

typedef struct kvgauge_embedding_spec {
  kvgauge_part part;     /* KV: K of a head, then its V */
  const int32_t* layers; /* ascending; NULL: all */
  size_t layer_count;
  kvgauge_pool positions;   /* mean, sum, first, last */
  kvgauge_pool heads;       /* mean, flatten */
  kvgauge_pool over_layers; /* mean, sum, last, flatten */
  int32_t normalize;        /* 1: divided by its Euclidean length */
} kvgauge_embedding_spec;

/* Numbers of an embedding; 0 if an argument is NULL or wrong. */
KVGAUGE_API int64_t kvgauge_embedding_values(const kvgauge_cache* cache, const kvgauge_embedding_spec* spec);
/* values [count, kvgauge_embedding_values()] on the host. Otherwise as kvgauge_windows(). */
KVGAUGE_API kvgauge_status kvgauge_embed(kvgauge_context* context, const kvgauge_cache* cache,
                                         const kvgauge_embedding_spec* spec, const kvgauge_sequence* sequences,
                                         size_t count, float* values, void* stream);

#ifdef __cplusplus
}
#endif

#undef KVGAUGE_INT
#endif
