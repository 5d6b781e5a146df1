#include <algorithm>

#include "capi/handles.h"
#include "score/scores.h"

using namespace kvgauge;
using namespace kvgauge::capi;

namespace {

TrajectorySettings settings_of(const kvgauge_trajectory_spec& spec, int head_dim) {
  TrajectorySettings settings{
      .part = part_of(spec.part), .layers = layers_of(spec.layers, spec.layer_count), .inverse_frequencies = {}};
  if (spec.inverse_frequencies == nullptr) return settings;
  require(head_dim % 2 == 0, "spec.inverse_frequencies is given for heads of ", head_dim,
          ", an even head_dim was needed");
  settings.inverse_frequencies.assign(spec.inverse_frequencies, spec.inverse_frequencies + head_dim / 2);
  for (const double frequency :
       settings.inverse_frequencies)  // angles up to 2^40 positions stay exact enough to reduce
    require(frequency >= 0 && frequency <= 1e3, "spec.inverse_frequencies holds ", frequency, ", 0 to 1000 was needed");
  return settings;
}

void check_extension(const kvgauge_context& context, const kvgauge_cache& cache,
                     kvgauge_trajectory* const* trajectories, const kvgauge_sequence* sequences, std::size_t count) {
  require(trajectories != nullptr || count == 0, "trajectories is NULL, ", count, " were announced");
  check_sequences(cache, sequences, count, 0);
  for (std::size_t i = 0; i < count; ++i) {
    require(trajectories[i] != nullptr, "trajectories[", i, "] is NULL");
    const kvgauge_trajectory& t = *trajectories[i];
    require(t.context == context.context, "trajectories[", i, "] was made by another context");
    require(t.settings == trajectories[0]->settings, "trajectories[", i, "] has another spec than trajectories[0]");
    require(t.kv_heads == cache.view.kv_heads && t.head_dim == cache.view.head_dim, "trajectories[", i, "] is for ",
            t.kv_heads, " heads of ", t.head_dim, ", the cache has ", cache.view.kv_heads, " of ", cache.view.head_dim);
    const kvgauge_sequence& s = sequences[i];
    if (s.begin == s.end) continue;
    require(t.state->points() == 0 || s.begin == t.next, "sequences[", i, "].begin is ", s.begin, ", ", t.next,
            " was needed: the position behind the last one");
    require(s.end - s.begin <= t.capacity - t.state->points(), "sequences[", i, "] has ", s.end - s.begin,
            " positions, the trajectory has room for ", t.capacity - t.state->points());
  }
  std::vector<const kvgauge_trajectory*> sorted(trajectories, trajectories + count);
  std::sort(sorted.begin(), sorted.end());
  require(std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end(), "a trajectory is named twice");
  if (count > 0) check_layers(trajectories[0]->settings.layers, cache);
}

}  // namespace

kvgauge_status kvgauge_trajectory_create(kvgauge_context* context, const kvgauge_trajectory_spec* spec,
                                         int32_t kv_heads, int32_t head_dim, int64_t capacity,
                                         kvgauge_trajectory** trajectory) {
  return guarded("kvgauge_trajectory_create", [&] {
    require(trajectory != nullptr, "trajectory is NULL, a place for the handle was needed");
    *trajectory = nullptr;
    require(context != nullptr, "context is NULL");
    check_shape(kv_heads, head_dim);
    require(capacity >= 0 && capacity <= kMostPositions, "capacity is ", capacity, ", 0 to 2^40 was needed");
    auto made = std::make_unique<kvgauge_trajectory>();
    if (spec != nullptr) made->settings = settings_of(*spec, head_dim);
    made->context = context->context;
    made->kv_heads = kv_heads;
    made->head_dim = head_dim;
    made->capacity = capacity;
    const std::int64_t values = std::int64_t{kv_heads} * head_dim * (made->settings.part == GaugePart::kKV ? 2 : 1);
    const Turn turn(*made->context);
    made->state = turn.backend().make_trajectory(values, capacity);
    *trajectory = made.release();
  });
}

void kvgauge_trajectory_destroy(kvgauge_trajectory* trajectory) {
  if (trajectory == nullptr) return;
  {
    const std::lock_guard lock(trajectory->context->turn);
    trajectory->state.reset();
  }
  delete trajectory;
}

kvgauge_status kvgauge_trajectory_extend(kvgauge_context* context, const kvgauge_cache* cache,
                                         kvgauge_trajectory* const* trajectories, const kvgauge_sequence* sequences,
                                         size_t count, void* stream) {
  return guarded("kvgauge_trajectory_extend", [&] {
    require(context != nullptr && cache != nullptr, context == nullptr ? "context" : "cache", " is NULL");
    Context& shared = *context->context;
    const Turn turn(shared);
    check_extension(*context, *cache, trajectories, sequences, count);
    check_place(shared, *cache, stream);
    if (count == 0) return;
    Backend& backend = turn.backend();
    backend.wait();  // for the call before: what it sent to the device lies where this one's lists will
    backend.start_after(stream);
    std::vector<TrajectoryItem> items;
    for (std::size_t first = 0; first < count;) {
      const std::size_t last = end_of_call(shared, *cache, sequences, first, count);
      items.clear();
      for (std::size_t i = first; i < last; ++i)
        if (sequences[i].begin < sequences[i].end)
          items.push_back({.blocks = sequences[i].blocks,
                           .begin = sequences[i].begin,
                           .end = sequences[i].end,
                           .state = trajectories[i]->state.get()});
      const TrajectorySettings& settings = trajectories[0]->settings;
      if (first > 0) backend.wait();
      backend.kv_trajectory({.pages = cache->view,
                             .spec = {.part = settings.part,
                                      .layers = settings.layers,
                                      .inverse_frequencies = settings.inverse_frequencies},
                             .items = items});
      for (std::size_t i = first; i < last; ++i)
        if (sequences[i].begin < sequences[i].end) trajectories[i]->next = sequences[i].end;
      first = last;
    }
    backend.finish_before(stream);
  });
}

int64_t kvgauge_trajectory_points(const kvgauge_trajectory* trajectory) {
  if (trajectory == nullptr) return 0;
  const std::lock_guard lock(trajectory->context->turn);
  return trajectory->state->points();
}

kvgauge_status kvgauge_trajectory_restart(kvgauge_trajectory* trajectory) {
  return guarded("kvgauge_trajectory_restart", [&] {
    require(trajectory != nullptr, "trajectory is NULL");
    const std::lock_guard lock(trajectory->context->turn);
    trajectory->state->restart();
  });
}

kvgauge_status kvgauge_trajectory_copy(const kvgauge_trajectory* trajectory, kvgauge_trajectory** copy) {
  return guarded("kvgauge_trajectory_copy", [&] {
    require(copy != nullptr, "copy is NULL, a place for the handle was needed");
    *copy = nullptr;
    require(trajectory != nullptr, "trajectory is NULL");
    const Turn turn(*trajectory->context);
    auto made = std::make_unique<kvgauge_trajectory>();
    made->context = trajectory->context;
    made->settings = trajectory->settings;
    made->kv_heads = trajectory->kv_heads;
    made->head_dim = trajectory->head_dim;
    made->capacity = trajectory->capacity;
    made->next = trajectory->next;
    const std::int64_t parts = made->settings.part == GaugePart::kKV ? 2 : 1;
    made->state = turn.backend().make_trajectory(parts * made->kv_heads * made->head_dim, made->capacity);
    turn.backend().copy_trajectory(*trajectory->state, *made->state);
    *copy = made.release();
  });
}

kvgauge_status kvgauge_trajectory_sums(const kvgauge_trajectory* trajectory, kvgauge_sums* sums) {
  return guarded("kvgauge_trajectory_sums", [&] {
    require(trajectory != nullptr && sums != nullptr, trajectory == nullptr ? "trajectory" : "sums", " is NULL");
    const Turn turn(*trajectory->context);
    const TrajectorySums read = turn.backend().read_trajectory(*trajectory->state);
    *sums = {.tokens = read.tokens,
             .sum_dr = read.sum_dr,
             .sum_dtheta = read.sum_dtheta,
             .end_dr = read.end_dr,
             .end_dtheta = read.end_dtheta,
             .sum_m_cos_a = read.sum_m_cos_a,
             .sum_m_sin_a = read.sum_m_sin_a,
             .sum_dr_cos = read.sum_dr_cos,
             .sum_dr_sin = read.sum_dr_sin};
  });
}

kvgauge_status kvgauge_trajectory_steps(const kvgauge_trajectory* trajectory, float* dr, float* dtheta, size_t room) {
  return guarded("kvgauge_trajectory_steps", [&] {
    require(trajectory != nullptr, "trajectory is NULL");
    const Turn turn(*trajectory->context);
    const TrajectorySteps steps = turn.backend().read_steps(*trajectory->state);
    require(room >= steps.dr.size(), "room is ", room, ", ", steps.dr.size(), " was needed");
    if (dr != nullptr) std::copy(steps.dr.begin(), steps.dr.end(), dr);
    if (dtheta != nullptr) std::copy(steps.dtheta.begin(), steps.dtheta.end(), dtheta);
  });
}

kvgauge_status kvgauge_scores_of(const kvgauge_sums* sums, double alpha, double beta, kvgauge_scores* scores) {
  return guarded("kvgauge_scores_of", [&] {
    require(sums != nullptr && scores != nullptr, sums == nullptr ? "sums" : "scores", " is NULL");
    const KvCoeScores s = kv_coe_scores({.tokens = sums->tokens,
                                         .sum_dr = sums->sum_dr,
                                         .sum_dtheta = sums->sum_dtheta,
                                         .end_dr = sums->end_dr,
                                         .end_dtheta = sums->end_dtheta,
                                         .sum_m_cos_a = sums->sum_m_cos_a,
                                         .sum_m_sin_a = sums->sum_m_sin_a,
                                         .sum_dr_cos = sums->sum_dr_cos,
                                         .sum_dr_sin = sums->sum_dr_sin},
                                        {.alpha = alpha, .beta = beta});
    *scores = {.tokens = s.tokens,
               .valid = s.valid ? 1 : 0,
               .paper_r = s.paper_r,
               .paper_c = s.paper_c,
               .normalized_r = s.normalized_r,
               .normalized_c = s.normalized_c,
               .normalized_cart_c = s.normalized_cart_c,
               .diff_r = s.diff_r,
               .polar_raw_c = s.polar_raw_c,
               .mean_dr = s.mean_dr,
               .mean_dtheta = s.mean_dtheta,
               .end_dr = s.end_dr,
               .end_dtheta = s.end_dtheta};
  });
}
