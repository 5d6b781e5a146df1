#include "metrics/ranking.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "core/check.h"
#include "kvgauge/error.h"

namespace kvgauge {
namespace {

// The vertices of the negated scores with the classes exchanged.
std::vector<RocVertex> reversed(const std::vector<RocVertex>& vertices) {
  std::vector<RocVertex> out;
  const RocVertex last = vertices.back();
  for (auto v = vertices.rbegin(); v != vertices.rend(); ++v)
    out.push_back({.fp = last.tp - v->tp, .tp = last.fp - v->fp});
  return out;
}

double ratio(std::int64_t part, std::int64_t whole) { return static_cast<double>(part) / static_cast<double>(whole); }

// Twice the count of (right, wrong) pairs in order plus the tied ones: an integer, so AUROC carries one rounding.
double auroc(const std::vector<RocVertex>& vertices) {
  const RocVertex total = vertices.back();
  double twice_pairs = 0;  // exact below 2^53
  for (std::size_t i = 1; i < vertices.size(); ++i)
    twice_pairs += static_cast<double>(vertices[i].fp - vertices[i - 1].fp) *
                   static_cast<double>(vertices[i].tp + vertices[i - 1].tp);
  return twice_pairs / (2 * static_cast<double>(total.fp) * static_cast<double>(total.tp));
}

constexpr double kTargetTpr = 0.95;

double fpr95_interpolated(const std::vector<RocVertex>& vertices) {
  const RocVertex total = vertices.back();
  std::size_t j = 0;
  while (j + 1 < vertices.size() && ratio(vertices[j + 1].tp, total.tp) <= kTargetTpr) ++j;
  const double tpr = ratio(vertices[j].tp, total.tp), fpr = ratio(vertices[j].fp, total.fp);
  if (tpr == kTargetTpr || j + 1 == vertices.size()) return fpr;
  const double next_tpr = ratio(vertices[j + 1].tp, total.tp), next_fpr = ratio(vertices[j + 1].fp, total.fp);
  return fpr + (next_fpr - fpr) * (kTargetTpr - tpr) / (next_tpr - tpr);
}

double fpr95_least(const std::vector<RocVertex>& vertices) {
  const RocVertex total = vertices.back();
  for (const RocVertex& v : vertices)
    if (ratio(v.tp, total.tp) >= kTargetTpr) return ratio(v.fp, total.fp);
  return 1;
}

// (concordant - discordant) / sqrt(pairs untied in score * pairs untied in label); NaN when all scores are tied.
double kendall_tau_b(const std::vector<RocVertex>& vertices, double auroc) {
  const RocVertex total = vertices.back();
  const double rows = static_cast<double>(total.fp + total.tp);
  const double untied_labels = static_cast<double>(total.fp) * static_cast<double>(total.tp);
  double untied_scores = rows * (rows - 1) / 2;
  for (std::size_t i = 1; i < vertices.size(); ++i) {
    const double tied = static_cast<double>(vertices[i].fp - vertices[i - 1].fp + vertices[i].tp - vertices[i - 1].tp);
    untied_scores -= tied * (tied - 1) / 2;
  }
  return untied_scores > 0 ? (2 * auroc - 1) * untied_labels / std::sqrt(untied_scores * untied_labels) : kUndefined;
}

// Mean risk over the `kept` = n-m+1..n most certain, m = floor(max_rejection * n), of this order and of an oracle's.
double rejection_ratio_of(const std::vector<double>& risk, std::int64_t positives, double max_rejection) {
  const std::size_t n = risk.size();
  const auto rejections = static_cast<std::size_t>(max_rejection * static_cast<double>(n));
  if (rejections == 0) return kUndefined;
  const double rows = static_cast<double>(n), right = static_cast<double>(positives);
  double area = 0, oracle = 0;
  for (std::size_t k = n - rejections + 1; k <= n; ++k) {
    area += 1 - risk[k - 1];
    oracle += std::min(1.0, right / static_cast<double>(k));
  }
  const double m = static_cast<double>(rejections), random = right / rows;
  return oracle / m == random ? kUndefined : (area / m - random) / (oracle / m - random);
}

struct PrecisionRecall {
  double trapezoid = 0, average_precision = 0;
};

PrecisionRecall precision_recall(const std::vector<RocVertex>& vertices) {
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
  KVGAUGE_CHECK(scores.size() < (std::size_t{1} << 31), scores.size(), " rows");
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
    rows.row.push_back(static_cast<std::uint32_t>(i));
  }
  return rows;
}

std::vector<RocVertex> roc_vertices(std::span<const double> scores, std::span<const std::uint8_t> correct) {
  KVGAUGE_CHECK(scores.size() == correct.size(), scores.size(), " scores, ", correct.size(), " labels");
  std::vector<std::pair<double, std::uint8_t>> order;
  order.reserve(scores.size());
  for (std::size_t i = 0; i < scores.size(); ++i) order.emplace_back(scores[i], correct[i]);
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<RocVertex> vertices = {{}};
  RocVertex at;
  for (std::size_t i = 0; i < order.size(); ++i) {
    ++(order[i].second ? at.tp : at.fp);
    if (i + 1 == order.size() || order[i + 1].first != order[i].first) vertices.push_back(at);
  }
  return vertices;
}

std::vector<double> risk_at_coverage(const std::vector<RocVertex>& vertices) {
  std::vector<double> risk;
  double wrong = 0;
  for (std::size_t i = 1; i < vertices.size(); ++i) {
    const std::int64_t tied = vertices[i].fp - vertices[i - 1].fp + vertices[i].tp - vertices[i - 1].tp;
    const double each = ratio(vertices[i].fp - vertices[i - 1].fp, tied);
    for (std::int64_t j = 0; j < tied; ++j) {
      wrong += each;
      risk.push_back(wrong / static_cast<double>(risk.size() + 1));
    }
    wrong = static_cast<double>(vertices[i].fp);  // exact again after every group
  }
  return risk;
}

RankingMetrics ranking_metrics(const std::vector<RocVertex>& vertices) {
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
  metrics.kendall = kendall_tau_b(vertices, metrics.auroc);
  const std::vector<double> risk = risk_at_coverage(vertices);
  metrics.rcc_auc = std::accumulate(risk.begin(), risk.end(), 0.0) / static_cast<double>(risk.size());
  metrics.prr = rejection_ratio_of(risk, metrics.positives, 1);
  metrics.prr_half = rejection_ratio_of(risk, metrics.positives, 0.5);
  return metrics;
}

RankingMetrics ranking_metrics(std::span<const double> scores, std::span<const std::uint8_t> correct) {
  return ranking_metrics(roc_vertices(scores, correct));
}

}  // namespace kvgauge
