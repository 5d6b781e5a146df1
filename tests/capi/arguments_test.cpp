// Whatever a caller gets wrong is a status and a message, never an abort.
#include <cmath>
#include <functional>
#include <limits>
#include <thread>
#include <vector>

#include "capi_support.h"
#include "core/cat.h"

namespace kvgauge::testing {
namespace {

constexpr int kLayers = 2, kHeads = 2, kHeadDim = 4, kBlockTokens = 4, kBlocks = 3;

/// A small cache in host memory, and everything that calls need, right.
struct Fixture {
  Fixture() : k(2 * kBlocks * kBlockTokens * kHeads * kHeadDim, 1.f) {
    tensors.assign(kLayers, k.data());
    kvgauge_cache* made = nullptr;
    EXPECT_OK(kvgauge_cache_create_vllm(&shape, KVGAUGE_VLLM_KV_NHD, tensors.data(), &made));
    cache.reset(made);
    trajectory = open_trajectory(context.get(), nullptr, kHeads, kHeadDim, 10);
  }
  std::vector<float> k;
  std::vector<const void*> tensors;
  kvgauge_cache_shape shape = {KVGAUGE_F32, kLayers, kHeads, kHeadDim, kBlockTokens, kBlocks};
  Handle<kvgauge_context> context = open_context();
  Handle<kvgauge_cache> cache;
  Handle<kvgauge_trajectory> trajectory;
  std::vector<std::int32_t> blocks = {2, 0, 1};
  kvgauge_sequence sequence = {blocks.data(), blocks.size(), 0, 5};
  kvgauge_status extend(void* stream = nullptr) {
    kvgauge_trajectory* const one = trajectory.get();
    return kvgauge_trajectory_extend(context.get(), cache.get(), &one, &sequence, 1, stream);
  }
};

void expect_refused(kvgauge_status status, const std::string& message) {
  EXPECT_EQ(status, KVGAUGE_INVALID_ARGUMENT);
  EXPECT_NE(std::string(kvgauge_last_error()).find(message), std::string::npos) << kvgauge_last_error();
  EXPECT_EQ(std::string(kvgauge_last_error()).find('\n'), std::string::npos);
}

TEST(CApi, SaysItsVersionAndItsDevices) {
  EXPECT_EQ(std::string(kvgauge_version()), KVGAUGE_VERSION);
  EXPECT_EQ(cat(KVGAUGE_VERSION_MAJOR, ".", KVGAUGE_VERSION_MINOR, ".", KVGAUGE_VERSION_PATCH), KVGAUGE_VERSION);
  EXPECT_EQ(std::string(kvgauge_devices()).substr(0, 3), "cpu");
}

TEST(CApi, RefusesContextsThatAreNotThere) {
  kvgauge_context* context = reinterpret_cast<kvgauge_context*>(8);
  kvgauge_context_options options = {"tpu\n", 0, 0};
  expect_refused(kvgauge_context_create(&options, &context), "options.device is 'tpu");
  EXPECT_EQ(context, nullptr);
  options = {"cpu", -1, 0};
  expect_refused(kvgauge_context_create(&options, &context), "options.threads is -1");
  expect_refused(kvgauge_context_create(nullptr, nullptr), "context is NULL");
  EXPECT_OK(kvgauge_context_create(nullptr, &context));
  EXPECT_EQ(std::string(kvgauge_last_error()), "");
  kvgauge_context_destroy(context);
  kvgauge_context_destroy(nullptr);
}

TEST(CApi, KeepsEachThreadsLastError) {
  expect_refused(kvgauge_context_create(nullptr, nullptr), "context is NULL");
  std::thread([] { EXPECT_EQ(std::string(kvgauge_last_error()), ""); }).join();
  EXPECT_NE(std::string(kvgauge_last_error()), "");
}

TEST(CApi, RefusesCachesThatCannotBe) {
  Fixture setup;
  kvgauge_cache* cache = nullptr;
  const auto refused = [&](const std::function<void(kvgauge_cache_shape&)>& spoil, const std::string& message) {
    kvgauge_cache_shape shape = setup.shape;
    spoil(shape);
    expect_refused(kvgauge_cache_create_vllm(&shape, KVGAUGE_VLLM_KV_HND, setup.tensors.data(), &cache), message);
    expect_refused(kvgauge_cache_create_pages(&shape, setup.tensors.data(), &cache), message);
    expect_refused(kvgauge_cache_create_contiguous(&shape, setup.tensors.data(), setup.tensors.data(), &cache),
                   message);
  };
  refused([](auto& s) { s.layers = 0; }, "layers is 0");
  refused([](auto& s) { s.layers = 1 << 30; }, "layers is");
  refused([](auto& s) { s.kv_heads = -1; }, "kv_heads is -1");
  refused([](auto& s) { s.head_dim = std::numeric_limits<std::int32_t>::max(); }, "head_dim");
  refused([](auto& s) { s.block_tokens = 0; }, "block_tokens is 0");
  refused([](auto& s) { s.blocks = 0; }, "blocks is 0");
  refused([](auto& s) { s.blocks = std::int64_t{1} << 60; }, "elements");
  refused([](auto& s) { s.dtype = static_cast<kvgauge_dtype>(9); }, "dtype is 9");
  const auto order = static_cast<kvgauge_vllm_order>(7);
  expect_refused(kvgauge_cache_create_vllm(&setup.shape, order, setup.tensors.data(), &cache), "order is 7");
  expect_refused(kvgauge_cache_create_vllm(&setup.shape, KVGAUGE_VLLM_KV_NHD, nullptr, &cache), "tensors is NULL");
  expect_refused(kvgauge_cache_create_vllm(nullptr, KVGAUGE_VLLM_KV_NHD, setup.tensors.data(), &cache), "NULL");
  expect_refused(kvgauge_cache_create_contiguous(&setup.shape, setup.tensors.data(), nullptr, &cache), "NULL");
  setup.tensors[1] = nullptr;
  expect_refused(kvgauge_cache_create_pages(&setup.shape, setup.tensors.data(), &cache), "tensors[1] is NULL");
  setup.tensors[1] = reinterpret_cast<const std::byte*>(setup.k.data()) + 1;
  expect_refused(kvgauge_cache_create_pages(&setup.shape, setup.tensors.data(), &cache), "k[1] is not aligned");

  kvgauge_cache_layout layout = {
      setup.tensors.data(), setup.tensors.data(), KVGAUGE_F32, 1, kHeads, kHeadDim, kBlockTokens, kBlocks, 3, 4, 8};
  expect_refused(kvgauge_cache_create(&layout, &cache), "block_stride is 3");
  layout.block_stride = std::numeric_limits<std::int64_t>::max() / 2;
  expect_refused(kvgauge_cache_create(&layout, &cache), "block_stride");
  layout.block_stride = 32;
  layout.token_stride = 0;
  expect_refused(kvgauge_cache_create(&layout, &cache), "token_stride is 0");
  EXPECT_EQ(cache, nullptr);
  expect_refused(kvgauge_cache_create(&layout, nullptr), "cache is NULL");
}

TEST(CApi, RefusesSequencesThatLeaveTheirBlocks) {
  Fixture setup;
  const auto refused = [&](const std::function<void()>& spoil, const std::string& message) {
    const kvgauge_sequence right = setup.sequence;
    const std::vector<std::int32_t> blocks = setup.blocks;
    spoil();
    expect_refused(setup.extend(), message);
    float out[2 * kHeads * kHeadDim];
    const kvgauge_window_spec window = {KVGAUGE_KV, nullptr, 0, 0, 0};
    expect_refused(kvgauge_windows(setup.context.get(), setup.cache.get(), &window, nullptr, &setup.sequence, 1, out,
                                   nullptr, nullptr),
                   message);
    setup.sequence = right;
    setup.blocks = blocks;
  };
  refused([&] { setup.sequence.begin = -1; }, "sequences[0] is [-1, 5)");
  refused([&] { setup.sequence.end = -4; }, "sequences[0] is [0, -4)");
  refused([&] { setup.sequence.end = 13; }, "has 3 ids, 4 were needed");
  refused([&] { setup.sequence.end = std::numeric_limits<std::int64_t>::max(); }, "sequences[0]");
  refused([&] { setup.sequence.block_count = 1; }, "has 1 ids, 2 were needed");
  refused([&] { setup.sequence.blocks = nullptr; }, "blocks is NULL");
  refused([&] { setup.blocks[1] = kBlocks; }, "blocks[1] is 3, 0 to 2 was needed");
  refused([&] { setup.blocks[0] = -1; }, "blocks[0] is -1");
  EXPECT_EQ(kvgauge_trajectory_points(setup.trajectory.get()), 0);
  setup.blocks[0] = -1;  // a block that is not read may be gone
  setup.sequence.begin = 4;
  EXPECT_OK(setup.extend());
}

TEST(CApi, RefusesTrajectoriesThatDoNotFit) {
  Fixture setup;
  EXPECT_OK(setup.extend());
  EXPECT_EQ(kvgauge_trajectory_points(setup.trajectory.get()), 5);
  expect_refused(setup.extend(), "sequences[0].begin is 0, 5 was needed");
  setup.sequence = {setup.blocks.data(), setup.blocks.size(), 5, 11};
  expect_refused(setup.extend(), "has 6 positions, the trajectory has room for 5");
  setup.sequence.end = 10;
  int no_stream = 0;
  expect_refused(setup.extend(&no_stream), "NULL was needed on the processor");
  EXPECT_OK(setup.extend());

  float dr[9];
  expect_refused(kvgauge_trajectory_steps(setup.trajectory.get(), dr, nullptr, 8), "room is 8, 9 was needed");
  EXPECT_OK(kvgauge_trajectory_steps(setup.trajectory.get(), dr, nullptr, 9));
  EXPECT_OK(kvgauge_trajectory_restart(setup.trajectory.get()));
  EXPECT_OK(kvgauge_trajectory_steps(setup.trajectory.get(), nullptr, nullptr, 0));
  setup.sequence = {setup.blocks.data(), setup.blocks.size(), 3, 3};
  EXPECT_OK(setup.extend());
  EXPECT_EQ(kvgauge_trajectory_points(setup.trajectory.get()), 0);

  const auto other = open_context();
  const auto foreign = open_trajectory(other.get(), nullptr, kHeads, kHeadDim, 10);
  const auto narrow = open_trajectory(setup.context.get(), nullptr, kHeads, kHeadDim + 1, 10);
  const kvgauge_trajectory_spec keys = {KVGAUGE_K, nullptr, 0, nullptr};
  const auto different = open_trajectory(setup.context.get(), &keys, kHeads, kHeadDim, 10);
  const std::int32_t far_layers[] = {0, 2};
  const kvgauge_trajectory_spec far = {KVGAUGE_V, far_layers, 2, nullptr};
  const auto beyond = open_trajectory(setup.context.get(), &far, kHeads, kHeadDim, 10);
  const kvgauge_sequence sequences[] = {{setup.blocks.data(), 3, 0, 2}, {setup.blocks.data(), 3, 0, 2}};
  const auto extend = [&](std::vector<kvgauge_trajectory*> list) {
    return kvgauge_trajectory_extend(setup.context.get(), setup.cache.get(), list.data(), sequences, list.size(),
                                     nullptr);
  };
  expect_refused(extend({foreign.get()}), "another context");
  expect_refused(extend({narrow.get()}), "for 2 heads of 5, the cache has 2 of 4");
  expect_refused(extend({setup.trajectory.get(), different.get()}), "trajectories[1] has another spec");
  expect_refused(extend({setup.trajectory.get(), setup.trajectory.get()}), "named twice");
  expect_refused(extend({setup.trajectory.get(), nullptr}), "trajectories[1] is NULL");
  expect_refused(extend({beyond.get()}), "names layer 2, the cache has 2");
  EXPECT_OK(extend({}));
  EXPECT_OK(kvgauge_trajectory_extend(setup.context.get(), setup.cache.get(), nullptr, nullptr, 0, nullptr));

  kvgauge_trajectory* made = nullptr;
  const auto create = [&](const kvgauge_trajectory_spec& spec, int head_dim, std::int64_t capacity) {
    return kvgauge_trajectory_create(setup.context.get(), &spec, kHeads, head_dim, capacity, &made);
  };
  const std::int32_t twice[] = {1, 1}, below[] = {-1};
  const double frequencies[] = {1, std::nan("")};
  expect_refused(create({static_cast<kvgauge_part>(5), nullptr, 0, nullptr}, kHeadDim, 1), "spec.part is 5");
  expect_refused(create({KVGAUGE_V, twice, 2, nullptr}, kHeadDim, 1), "spec.layers[1] is 1");
  expect_refused(create({KVGAUGE_V, below, 1, nullptr}, kHeadDim, 1), "spec.layers[0] is -1");
  expect_refused(create({KVGAUGE_V, nullptr, 1, nullptr}, kHeadDim, 1), "spec.layers is NULL");
  expect_refused(create({KVGAUGE_K, nullptr, 0, frequencies}, kHeadDim, 1), "spec.inverse_frequencies holds");
  expect_refused(create({KVGAUGE_K, nullptr, 0, frequencies}, 3, 1), "an even head_dim");
  expect_refused(create({KVGAUGE_K, nullptr, 0, nullptr}, kHeadDim, -1), "capacity is -1");
  EXPECT_EQ(made, nullptr);
  EXPECT_EQ(kvgauge_trajectory_points(nullptr), 0);
  kvgauge_sums sums;
  expect_refused(kvgauge_trajectory_sums(nullptr, &sums), "trajectory is NULL");
  expect_refused(kvgauge_trajectory_sums(setup.trajectory.get(), nullptr), "sums is NULL");
}

TEST(CApi, RefusesWindowsHeadsAndEmbeddingsThatDoNotFit) {
  Fixture setup;
  float out[64];
  const kvgauge_window_spec window = {KVGAUGE_V, nullptr, 0, 0, 0};
  const auto windows = [&](const kvgauge_head* head, float* difficulties) {
    return kvgauge_windows(setup.context.get(), setup.cache.get(), &window, head, &setup.sequence, 1, out, difficulties,
                           nullptr);
  };
  const std::vector<float> w(64, 1.f);
  const auto weights = [&](std::int64_t features) {
    return kvgauge_head_weights{features, 3, w.data(), w.data(), w.data(), w.data(), nullptr, nullptr};
  };
  const auto head_of = [&](const kvgauge_head_weights& given) {
    kvgauge_head* head = nullptr;
    EXPECT_OK(kvgauge_head_create(setup.context.get(), &given, &head));
    return Handle<kvgauge_head>(head);
  };
  kvgauge_head* none = nullptr;
  auto bad = weights(0);
  expect_refused(kvgauge_head_create(setup.context.get(), &bad, &none), "features is 0");
  bad = weights(2);
  bad.b1 = nullptr;
  expect_refused(kvgauge_head_create(setup.context.get(), &bad, &none), "NULL");
  bad = weights(2);
  bad.mean = w.data();
  expect_refused(kvgauge_head_create(setup.context.get(), &bad, &none), "both or neither");
  const std::vector<float> zero = {1, 0};
  bad.deviation = zero.data();
  expect_refused(kvgauge_head_create(setup.context.get(), &bad, &none), "deviation[1] is 0");

  EXPECT_EQ(kvgauge_window_features(setup.cache.get(), &window), kHeads * kHeadDim);
  EXPECT_EQ(kvgauge_window_features(nullptr, &window), 0);
  const auto right = head_of(weights(kHeads * kHeadDim)), wrong = head_of(weights(7));
  EXPECT_OK(windows(right.get(), out + 32));
  expect_refused(windows(wrong.get(), out), "head takes 7 features, the windows have 8");
  expect_refused(windows(right.get(), nullptr), "both or neither");
  setup.sequence.end = 0;
  expect_refused(windows(right.get(), out), "0 <= begin < end");
  setup.sequence.end = 3;

  kvgauge_embedding_spec embedding = {KVGAUGE_V, nullptr, 0, KVGAUGE_FLATTEN, KVGAUGE_MEAN, KVGAUGE_MEAN, 1};
  const auto embed = [&] {
    return kvgauge_embed(setup.context.get(), setup.cache.get(), &embedding, &setup.sequence, 1, out, nullptr);
  };
  expect_refused(embed(), "spec.positions is 4");
  embedding = {KVGAUGE_V, nullptr, 0, KVGAUGE_MEAN, KVGAUGE_SUM, KVGAUGE_MEAN, 1};
  expect_refused(embed(), "spec.heads is 1");
  embedding = {KVGAUGE_V, nullptr, 0, KVGAUGE_MEAN, KVGAUGE_MEAN, KVGAUGE_FIRST, 1};
  expect_refused(embed(), "spec.over_layers is 2");
  EXPECT_EQ(kvgauge_embedding_values(setup.cache.get(), &embedding), 0);
  embedding.over_layers = KVGAUGE_FLATTEN;
  EXPECT_EQ(kvgauge_embedding_values(setup.cache.get(), &embedding), kLayers * kHeadDim);
  EXPECT_OK(embed());
}

TEST(CApi, SpansAreThoseOfTheMethod) {
  std::int64_t begin = 0, end = 0;
  const auto expect = [&](kvgauge_span span, std::int64_t from, std::int64_t to) {
    EXPECT_OK(kvgauge_span_positions(span, 5, 9, &begin, &end));
    EXPECT_EQ(begin, from);
    EXPECT_EQ(end, to);
  };
  expect(KVGAUGE_RESPONSE, 5, 9);
  expect(KVGAUGE_BOUNDARY, 4, 9);
  expect(KVGAUGE_ALL, 0, 9);
  expect(KVGAUGE_PROMPT, 0, 5);
  expect_refused(kvgauge_span_positions(KVGAUGE_ALL, 0, 9, &begin, &end), "prompt is 0");
  expect_refused(kvgauge_span_positions(KVGAUGE_ALL, 10, 9, &begin, &end), "prompt is 10");
  expect_refused(kvgauge_span_positions(static_cast<kvgauge_span>(4), 5, 9, &begin, &end), "span is 4");
  expect_refused(kvgauge_span_positions(KVGAUGE_ALL, 5, 9, nullptr, &end), "NULL");
}

TEST(CApi, HandlesOutliveTheirContext) {
  Fixture setup;
  EXPECT_OK(setup.extend());
  setup.context.reset();
  kvgauge_sums sums;
  EXPECT_OK(kvgauge_trajectory_sums(setup.trajectory.get(), &sums));
  EXPECT_EQ(sums.tokens, 5);
}

TEST(CApi, ThreadsTakeTurnsOnAContext) {
  Fixture setup;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&setup] {
      for (int turn = 0; turn < 20; ++turn) {
        const auto mine = open_trajectory(setup.context.get(), nullptr, kHeads, kHeadDim, 10);
        kvgauge_trajectory* const one = mine.get();
        EXPECT_OK(kvgauge_trajectory_extend(setup.context.get(), setup.cache.get(), &one, &setup.sequence, 1, nullptr));
        kvgauge_sums sums;
        EXPECT_OK(kvgauge_trajectory_sums(one, &sums));
        EXPECT_EQ(sums.tokens, 5);
        EXPECT_EQ(sums.sum_dr, 0);
      }
    });
  for (std::thread& thread : threads) thread.join();
}

#if defined(KVGAUGE_EMULATED)
TEST(CApi, RefusesMemoryThatTheDeviceCannotRead) {
  Fixture setup;
  setup.context = open_context("emulated");
  setup.trajectory = open_trajectory(setup.context.get(), nullptr, kHeads, kHeadDim, 10);
  expect_refused(setup.extend(), "k[0] is no memory that the context's device can read");
  kvgauge_trajectory* made = nullptr;
  EXPECT_EQ(kvgauge_trajectory_create(setup.context.get(), nullptr, kHeads, kHeadDim, std::int64_t{1} << 30, &made),
            KVGAUGE_DEVICE_ERROR);
  EXPECT_NE(std::string(kvgauge_last_error()).find("trajectory"), std::string::npos) << kvgauge_last_error();
}
#endif

}  // namespace
}  // namespace kvgauge::testing
