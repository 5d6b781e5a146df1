// The same K and V in the layouts of several engines: bit-equal numbers.
#include <cstring>
#include <numeric>
#include <random>

#include "capi/handles.h"
#include "capi_support.h"
#include "core/dtype.h"
#include "core/trajectory_sums.h"
#include "cpu/cpu_backend.h"
#include "support/device_vector.h"
#include "support/paths.h"

namespace kvgauge::testing {
namespace {

using Random = std::mt19937_64;

struct Shape {
  DType dtype;
  int layers, heads, head_dim, positions;
};

/// K and V of one sequence as bits, by (value, layer, position, head, j).
struct Content {
  Content(const Shape& shape, Random& random) : shape(shape), element(size_of(shape.dtype)) {
    const std::size_t count =
        2u * static_cast<std::size_t>(shape.layers * shape.positions * shape.heads * shape.head_dim);
    bytes.resize(count * element);
    std::normal_distribution<float> normal;
    for (std::size_t i = 0; i < count; ++i) {
      const float x = normal(random);
      const std::uint16_t narrow = shape.dtype == DType::kBF16 ? to_bf16(x).bits : to_half(x).bits;
      if (shape.dtype == DType::kF32)
        std::memcpy(bytes.data() + 4 * i, &x, 4);
      else
        std::memcpy(bytes.data() + 2 * i, &narrow, 2);
    }
  }
  const std::byte* row(bool value, int layer, int position, int head) const {
    return bytes.data() +
           static_cast<std::size_t>(
               ((((value ? 1 : 0) * shape.layers + layer) * shape.positions + position) * shape.heads + head) *
               shape.head_dim) *
               element;
  }
  Shape shape;
  std::size_t element;
  std::vector<std::byte> bytes;
};

/// A layout with the content in it; whatever else is there is NaN.
struct Placed {
  std::string name;
  std::vector<DeviceVector<std::byte>> memory;
  Handle<kvgauge_cache> cache;
  std::vector<std::int32_t> blocks;
  kvgauge_sequence sequence(std::int64_t begin, std::int64_t end) const {
    return {blocks.data(), blocks.size(), begin, end};
  }
};

kvgauge_dtype c_dtype(DType dtype) {
  return dtype == DType::kF32 ? KVGAUGE_F32 : dtype == DType::kF16 ? KVGAUGE_F16 : KVGAUGE_BF16;
}

enum class Layout { kPages, kVllm, kContiguous, kOddStrides };

/// Where an element lies is spelled out here once more, from the shapes that the engines document.
Placed place(const Content& content, Layout layout, kvgauge_vllm_order order, int block_tokens, Random& random) {
  const Shape& s = content.shape;
  Placed placed;
  const int needed = (s.positions + block_tokens - 1) / block_tokens,
            blocks = layout == Layout::kContiguous ? 3 : 2 * needed + 1;
  std::vector<std::int32_t> ids(static_cast<std::size_t>(blocks));
  std::iota(ids.begin(), ids.end(), 0);
  std::shuffle(ids.begin(), ids.end(), random);
  placed.blocks.assign(ids.begin(), ids.begin() + needed);
  const std::int64_t B = blocks, N = block_tokens, H = s.heads, D = s.head_dim,
                     gap = layout == Layout::kOddStrides ? 3 : 0;
  const bool two = layout == Layout::kContiguous;
  const std::int64_t elements = (two ? 1 : 2) * B * N * H * (D + gap);
  // f(value, block, slot, head) = element index in the layer's tensor
  const auto index = [&](int value, std::int64_t b, std::int64_t n, std::int64_t h) -> std::int64_t {
    switch (layout) {
      case Layout::kPages: return (((b * 2 + value) * H + h) * N + n) * D;
      case Layout::kContiguous: return ((b * H + h) * N + n) * D;
      case Layout::kOddStrides: return (((value * B + b) * N + n) * H + h) * (D + gap);
      case Layout::kVllm: break;
    }
    switch (order) {
      case KVGAUGE_VLLM_KV_NHD: return (((value * B + b) * N + n) * H + h) * D;
      case KVGAUGE_VLLM_KV_HND: return (((value * B + b) * H + h) * N + n) * D;
      case KVGAUGE_VLLM_BLOCK_NHD: return (((b * 2 + value) * N + n) * H + h) * D;
      case KVGAUGE_VLLM_BLOCK_HND: return (((b * 2 + value) * H + h) * N + n) * D;
    }
    return -1;
  };
  const std::size_t row_bytes = static_cast<std::size_t>(D) * content.element;
  for (int layer = 0; layer < s.layers; ++layer) {
    for (int part = 0; part < (two ? 2 : 1); ++part)
      placed.memory.emplace_back(static_cast<std::size_t>(elements) * content.element, std::byte{0xff});
    for (int t = 0; t < s.positions; ++t)
      for (int h = 0; h < s.heads; ++h)
        for (const int value : {0, 1}) {
          auto& tensor = placed.memory[placed.memory.size() - (two && value == 0 ? 2 : 1)];
          const std::int64_t at =
              index(value, placed.blocks[static_cast<std::size_t>(t / block_tokens)], t % block_tokens, h);
          std::memcpy(tensor.data() + static_cast<std::size_t>(at) * content.element,
                      content.row(value == 1, layer, t, h), row_bytes);
        }
  }
  std::vector<const void*> first, second;
  for (std::size_t i = 0; i < placed.memory.size(); i += two ? 2 : 1) {
    first.push_back(placed.memory[i].data());
    if (two) second.push_back(placed.memory[i + 1].data());
  }
  const kvgauge_cache_shape shape = {c_dtype(s.dtype), s.layers, s.heads, s.head_dim, block_tokens, blocks};
  kvgauge_cache* made = nullptr;
  switch (layout) {
    case Layout::kPages: EXPECT_OK(kvgauge_cache_create_pages(&shape, first.data(), &made)); break;
    case Layout::kVllm: EXPECT_OK(kvgauge_cache_create_vllm(&shape, order, first.data(), &made)); break;
    case Layout::kContiguous:
      EXPECT_OK(kvgauge_cache_create_contiguous(&shape, first.data(), second.data(), &made));
      break;
    case Layout::kOddStrides: {
      for (const void* k : first)
        second.push_back(static_cast<const std::byte*>(k) +
                         static_cast<std::size_t>(B * N * H * (D + gap)) * content.element);
      const kvgauge_cache_layout free = {first.data(),      second.data(), shape.dtype,  s.layers,
                                         s.heads,           s.head_dim,    block_tokens, B,
                                         N * H * (D + gap), D + gap,       H * (D + gap)};
      EXPECT_OK(kvgauge_cache_create(&free, &made));
    }
  }
  placed.cache.reset(made);
  return placed;
}

std::vector<Placed> every_layout(const Content& content, Random& random) {
  std::vector<Placed> all;
  const auto add = [&](const char* name, Layout layout, kvgauge_vllm_order order, int block_tokens) {
    all.push_back(place(content, layout, order, block_tokens, random));
    all.back().name = name;
  };
  add("pages", Layout::kPages, KVGAUGE_VLLM_KV_NHD, 32);
  add("vllm nhd", Layout::kVllm, KVGAUGE_VLLM_KV_NHD, 16);
  add("vllm hnd", Layout::kVllm, KVGAUGE_VLLM_KV_HND, 16);
  add("vllm by block nhd", Layout::kVllm, KVGAUGE_VLLM_BLOCK_NHD, 16);
  add("vllm by block hnd", Layout::kVllm, KVGAUGE_VLLM_BLOCK_HND, 8);
  add("contiguous", Layout::kContiguous, KVGAUGE_VLLM_KV_NHD, content.shape.positions);
  add("odd strides", Layout::kOddStrides, KVGAUGE_VLLM_KV_NHD, 5);
  return all;
}

void append(std::vector<unsigned char>& bits, const void* data, std::size_t bytes) {
  const auto* const from = static_cast<const unsigned char*>(data);
  bits.insert(bits.end(), from, from + bytes);
}

/// Every bit of every gauge, the trajectory extended in random pieces.
std::vector<unsigned char> gauge(kvgauge_context* context, const Placed& placed, const Shape& shape,
                                 const kvgauge_trajectory_spec& spec, Random& random) {
  std::vector<unsigned char> bits;
  const auto trajectory = open_trajectory(context, &spec, shape.heads, shape.head_dim, shape.positions);
  kvgauge_trajectory* const handle = trajectory.get();
  for (std::int64_t at = 1; at < shape.positions;) {
    const std::int64_t end =
        std::min<std::int64_t>(shape.positions, at + std::uniform_int_distribution<>(0, 20)(random));
    const kvgauge_sequence piece = placed.sequence(at, end);
    EXPECT_OK(kvgauge_trajectory_extend(context, placed.cache.get(), &handle, &piece, 1, nullptr));
    at = end;
  }
  kvgauge_sums sums;
  EXPECT_OK(kvgauge_trajectory_sums(handle, &sums));
  append(bits, &sums, sizeof sums);
  std::vector<float> dr(static_cast<std::size_t>(shape.positions - 2)), dtheta(dr.size());
  EXPECT_OK(kvgauge_trajectory_steps(handle, dr.data(), dtheta.data(), dr.size()));
  append(bits, dr.data(), dr.size() * sizeof(float));
  append(bits, dtheta.data(), dtheta.size() * sizeof(float));
  const kvgauge_window_spec window = {spec.part, spec.layers, spec.layer_count, 0, 0};
  std::vector<float> features(static_cast<std::size_t>(kvgauge_window_features(placed.cache.get(), &window)));
  const kvgauge_sequence last = placed.sequence(shape.positions / 3, shape.positions);
  EXPECT_OK(
      kvgauge_windows(context, placed.cache.get(), &window, nullptr, &last, 1, features.data(), nullptr, nullptr));
  append(bits, features.data(), features.size() * sizeof(float));
  const kvgauge_embedding_spec embedding = {
      spec.part, spec.layers, spec.layer_count, KVGAUGE_MEAN, KVGAUGE_FLATTEN, KVGAUGE_MEAN, 1};
  std::vector<float> vector(static_cast<std::size_t>(kvgauge_embedding_values(placed.cache.get(), &embedding)));
  EXPECT_OK(kvgauge_embed(context, placed.cache.get(), &embedding, &last, 1, vector.data(), nullptr));
  append(bits, vector.data(), vector.size() * sizeof(float));
  return bits;
}

class Layouts : public ::testing::TestWithParam<const char*> {};

TEST_P(Layouts, GiveTheSameBits) {
  Random random(test_seed(301));
  const auto context = open_context(GetParam(), 2);
  const std::int32_t some[] = {0, 2};
  for (const Shape& shape :
       {Shape{DType::kBF16, 3, 2, 16, 75}, Shape{DType::kF16, 4, 3, 24, 64}, Shape{DType::kF32, 3, 1, 10, 41}}) {
    const Content content(shape, random);
    const auto layouts = every_layout(content, random);
    std::vector<double> frequencies;
    for (int i = 0; i < shape.head_dim / 2; ++i) frequencies.push_back(std::pow(10000.0, -2.0 * i / shape.head_dim));
    for (const kvgauge_part part : {KVGAUGE_V, KVGAUGE_K, KVGAUGE_KV})
      for (const bool other : {false, true}) {  // a subset of the layers, keys turned back
        const kvgauge_trajectory_spec spec = {part, other ? some : nullptr, other ? 2u : 0u,
                                              other ? frequencies.data() : nullptr};
        const auto want = gauge(context.get(), layouts[0], shape, spec, random);
        for (const Placed& placed : layouts)
          EXPECT_EQ(gauge(context.get(), placed, shape, spec, random), want) << placed.name;
      }
  }
}

// Two sequences of a batch lie in different layouts' blocks and must not see each other.
TEST_P(Layouts, BatchesGiveTheBitsOfSingleSequences) {
  Random random(test_seed(302));
  const auto context = open_context(GetParam());
  const Shape shape{DType::kF16, 3, 2, 16, 50};
  const Content content(shape, random);
  const Placed placed = place(content, Layout::kVllm, KVGAUGE_VLLM_KV_NHD, 16, random);
  const kvgauge_trajectory_spec spec = {KVGAUGE_KV, nullptr, 0, nullptr};
  const kvgauge_sequence spans[] = {placed.sequence(0, 50), placed.sequence(7, 8), placed.sequence(20, 20),
                                    placed.sequence(13, 44)};
  std::vector<Handle<kvgauge_trajectory>> alone, together;
  std::vector<kvgauge_trajectory*> handles;
  for (const kvgauge_sequence& span : spans) {
    alone.push_back(open_trajectory(context.get(), &spec, shape.heads, shape.head_dim, 50));
    together.push_back(open_trajectory(context.get(), &spec, shape.heads, shape.head_dim, 50));
    handles.push_back(together.back().get());
    kvgauge_trajectory* const one = alone.back().get();
    ASSERT_OK(kvgauge_trajectory_extend(context.get(), placed.cache.get(), &one, &span, 1, nullptr));
  }
  ASSERT_OK(kvgauge_trajectory_extend(context.get(), placed.cache.get(), handles.data(), spans, 4, nullptr));
  for (std::size_t i = 0; i < 4; ++i) {
    kvgauge_sums a, b;
    ASSERT_OK(kvgauge_trajectory_sums(alone[i].get(), &a));
    ASSERT_OK(kvgauge_trajectory_sums(together[i].get(), &b));
    EXPECT_EQ(std::memcmp(&a, &b, sizeof a), 0) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Device, Layouts, ::testing::ValuesIn(devices()),
                         [](const auto& instance) { return std::string(instance.param); });

TEST(LayoutsOnEveryInstructionSet, GiveTheSameBits) {
  Random random(test_seed(303));
  for (const Shape& shape : {Shape{DType::kBF16, 3, 2, 18, 75}, Shape{DType::kF16, 4, 3, 40, 64}}) {
    const Content content(shape, random);
    const auto layouts = every_layout(content, random);
    std::vector<unsigned char> want;
    for (const CpuIsa isa : supported_isas()) {
      const auto backend = make_cpu_backend({.threads = 1, .compute_dtype = DType::kF32, .isa = isa});
      for (const Placed& placed : layouts) {
        const auto state = backend->make_trajectory(2 * shape.heads * shape.head_dim, shape.positions);
        const TrajectoryItem item{
            .blocks = placed.blocks.data(), .begin = 0, .end = shape.positions, .state = state.get()};
        backend->kv_trajectory(
            {.pages = placed.cache->view, .spec = {.part = GaugePart::kKV, .layers = {}}, .items = {&item, 1}});
        const TrajectorySums sums = backend->read_trajectory(*state);
        std::vector<unsigned char> bits;
        append(bits, &sums, sizeof sums);
        if (want.empty()) want = bits;
        EXPECT_EQ(bits, want) << name(isa) << ", " << placed.name;
      }
    }
  }
}

}  // namespace
}  // namespace kvgauge::testing
