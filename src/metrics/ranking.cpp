#include "metrics/ranking.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/check.h"
#include "kvgauge/error.h"

namespace kvgauge {
namespace {

struct Vertex {
  std::int64_t fp = 0, tp = 0;
};

// Cumulative counts after each group of equal scores, from the highest score down; the first is (0, 0).
std::vector<Vertex> vertices_of(std::span<const double> scores, std::span<const std::uint8_t> correct) {
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  std::vector<Vertex> vertices = {{}};
  Vertex at;
  for (std::size_t i = 0; i < order.size(); ++i) {
    ++(correct[order[i]] ? at.tp : at.fp);
    if (i + 1 == order.size() || scores[order[i + 1]] != scores[order[i]]) vertices.push_back(at);
  }
  return vertices;
}

// The vertices of the negated scores with the classes exchanged.
std::vector<Vertex> reversed(const std::vector<Vertex>& vertices) {
  std::vector<Vertex> out;
  const Vertex last = vertices.back();
  for (auto v = vertices.rbegin(); v != vertices.rend(); ++v)
    out.push_back({.fp = last.tp - v->tp, .tp = last.fp - v->fp});
  return out;
}

double ratio(std::int64_t part, std::int64_t whole) { return static_cast<double>(part) / static_cast<double>(whole); }

// Twice the count of (right, wrong) pairs in order plus the tied ones: an integer, so AUROC carries one rounding.
double auroc(const std::vector<Vertex>& vertices) {
  const Vertex total = vertices.back();
  double twice_pairs = 0;  // exact below 2^53
  for (std::size_t i = 1; i < vertices.size(); ++i)
    twice_pairs += static_cast<double>(vertices[i].fp - vertices[i - 1].fp) *
                   static_cast<double>(vertices[i].tp + vertices[i - 1].tp);
  return twice_pairs / (2 * static_cast<double>(total.fp) * static_cast<double>(total.tp));
}

constexpr double kTargetTpr = 0.95;

double fpr95_interpolated(const std::vector<Vertex>& vertices) {
  const Vertex total = vertices.back();
  std::size_t j = 0;
  while (j + 1 < vertices.size() && ratio(vertices[j + 1].tp, total.tp) <= kTargetTpr) ++j;
  const double tpr = ratio(vertices[j].tp, total.tp), fpr = ratio(vertices[j].fp, total.fp);
  if (tpr == kTargetTpr || j + 1 == vertices.size()) return fpr;
  const double next_tpr = ratio(vertices[j + 1].tp, total.tp), next_fpr = ratio(vertices[j + 1].fp, total.fp);
  return fpr + (next_fpr - fpr) * (kTargetTpr - tpr) / (next_tpr - tpr);
}

double fpr95_least(const std::vector<Vertex>& vertices) {
  const Vertex total = vertices.back();
  for (const Vertex& v : vertices)
    if (ratio(v.tp, total.tp) >= kTargetTpr) return ratio(v.fp, total.fp);
  return 1;
}

struct PrecisionRecall {
  double trapezoid = 0, average_precision = 0;
};

PrecisionRecall precision_recall(const std::vector<Vertex>& vertices) {
  const std::int64_t positives = vertices.back().tp;
  PrecisionRecall area;
  double recall = 0, precision = 1;
  for (std::size_t i = 1; i < vertices.size(); ++i) {
    const double next_recall = ratio(vertices[i].tp, positives);
    const double next_precision = ratio(vertices[i].tp, vertices[i].tp + vertices[i].fp);
    area.trapezoid += (next_recall - recall) * (next_precision + precision) / 2;
    area.average_precision += (next_recall - recall) * next_precision;
    recall = next_recall;
    precision = next_precision;
  }
  return area;
}

}  // namespace

const char* name(NanPolicy policy) {
  switch (policy) {
    case NanPolicy::kWorst: return "worst";
    case NanPolicy::kDrop: return "drop";
    case NanPolicy::kZero: return "zero";
  }
  return "?";
}

NanPolicy parse_nan_policy(std::string_view text) {
  for (const NanPolicy policy : {NanPolicy::kWorst, NanPolicy::kDrop, NanPolicy::kZero})
    if (text == name(policy)) return policy;
  throw UsageError(cat("--nan-policy: '", text, "', one of worst, drop, zero was needed"));
}

RankedRows apply_nan_policy(std::span<const double> scores, std::span<const std::uint8_t> correct, NanPolicy policy) {
  KVGAUGE_CHECK(scores.size() == correct.size(), scores.size(), " scores, ", correct.size(), " labels");
  RankedRows rows;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    double score = scores[i];
    if (!std::isfinite(score)) {
      ++rows.invalid;
      if (policy == NanPolicy::kDrop) continue;
      score = policy == NanPolicy::kZero ? 0 : -std::numeric_limits<double>::infinity();
    }
    rows.scores.push_back(score);
    rows.correct.push_back(correct[i] != 0);
  }
  return rows;
}

RankingMetrics ranking_metrics(std::span<const double> scores, std::span<const std::uint8_t> correct) {
  KVGAUGE_CHECK(scores.size() == correct.size(), scores.size(), " scores, ", correct.size(), " labels");
  const std::vector<Vertex> vertices = vertices_of(scores, correct);
  RankingMetrics metrics{.positives = vertices.back().tp, .negatives = vertices.back().fp};
  if (metrics.positives == 0 || metrics.negatives == 0) return metrics;
  metrics.auroc = auroc(vertices);
  metrics.auroc_flipped = 1 - metrics.auroc;
  metrics.fpr95 = fpr95_interpolated(vertices);
  metrics.fpr95_min = fpr95_least(vertices);
  const PrecisionRecall right = precision_recall(vertices);
  metrics.aupr = right.trapezoid;
  metrics.average_precision = right.average_precision;
  metrics.aupr_wrong = precision_recall(reversed(vertices)).trapezoid;
  return metrics;
}

}  // namespace kvgauge
