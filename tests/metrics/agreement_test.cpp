// Against other people's implementations and straight-line ones: scikit-learn and scipy on 1,000 lists with ties, the
// definitions of DeLong's covariance, Kendall's tau and isotonic regression written out.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "core/json.h"
#include "metrics/calibration.h"
#include "metrics/correlation.h"
#include "metrics/delong.h"
#include "metrics/length_control.h"
#include "metrics/ranking.h"
#include "reference/lcg.h"
#include "support/paths.h"

namespace kvgauge {
namespace {

using testing::Lcg;

struct Lists {
  std::vector<double> scores, lengths;
  std::vector<std::uint8_t> correct;
  std::vector<double> labels() const { return {correct.begin(), correct.end()}; }
};

// As tests/golden/metrics/make_sklearn.py draws them.
Lists drawn_lists(std::uint64_t number) {
  Lcg lcg(1 + number);
  const auto below = [&](std::uint64_t k) { return (lcg.next() >> 40) % k; };
  const std::uint64_t n = 2 + below(200), levels = 1 + below(40), share = 5 + below(91);
  Lists lists;
  for (std::uint64_t i = 0; i < n; ++i) {
    const bool right = below(100) < share;
    lists.correct.push_back(right);
    const std::uint64_t base = below(levels);
    lists.scores.push_back(static_cast<double>(base + (right ? 1 : 0) * below(3)));
    const std::uint64_t length = 10 + below(30);
    lists.lengths.push_back(static_cast<double>(length + (right ? 0 : below(20))));
  }
  return lists;
}

double mean_square(const IsotonicFit& fit, const std::vector<double>& x) {
  double sum = 0;
  for (const double v : x) sum += fit.at(v) * fit.at(v);
  return sum / static_cast<double>(x.size());
}

// 15 digits are stored of numbers up to 1, and sums have at most 201 terms: 1e-12. The partial correlation divides by
// sqrt(1 - r^2), which is at least 1e-3 here.
TEST(Sklearn, AgreesOnAThousandListsWithTies) {
  const Json golden =
      parse_json(testing::read_file(testing::repo_path("tests/golden/metrics/sklearn.json")), "sklearn.json");
  const auto fields = golden["fields"].get<std::vector<std::string>>();
  ASSERT_EQ(golden["lists"].size(), 1000u);
  std::map<std::string, int> compared;
  for (std::uint64_t number = 0; number < 1000; ++number) {
    const Lists lists = drawn_lists(number);
    const RankingMetrics m = ranking_metrics(lists.scores, lists.correct);
    std::vector<std::int64_t> tokens(lists.lengths.begin(), lists.lengths.end());
    const bool both = m.positives > 0 && m.negatives > 0;
    const PartialCorrelation partial =
        both ? control_for_length(lists.scores, lists.correct, tokens).spearman : PartialCorrelation{};
    const double isotonic = both ? mean_square(isotonic_fit(lists.scores, lists.correct), lists.scores) : kUndefined;
    const std::map<std::string, double> got = {{"auroc", m.auroc},
                                               {"fpr95", m.fpr95},
                                               {"fpr95_min", m.fpr95_min},
                                               {"aupr", m.aupr},
                                               {"aupr_wrong", m.aupr_wrong},
                                               {"ap", m.average_precision},
                                               {"kendall", m.kendall},
                                               {"spearman", both ? spearman(lists.scores, lists.labels()) : kUndefined},
                                               {"spearman_length", partial.xz},
                                               {"partial_spearman", partial.partial},
                                               {"isotonic", isotonic}};
    for (std::size_t f = 0; f < fields.size(); ++f) {
      const Json& want = golden["lists"][number][f];
      const std::string what = fields[f] + " of list " + std::to_string(number);
      const double value = got.at(fields[f]);
      if (want.is_null()) {
        EXPECT_TRUE(std::isnan(value)) << what << " " << value;
        continue;
      }
      EXPECT_NEAR(value, want.get<double>(), 1e-12) << what;
      ++compared[fields[f]];
    }
  }
  for (const std::string& field : fields) EXPECT_GT(compared[field], 900) << field;
}

double sign(double v) { return v > 0 ? 1 : v < 0 ? -1 : 0; }

TEST(Kendall, IsTheCountOfPairs) {
  const std::uint64_t seed = testing::test_seed(41);
  for (std::uint64_t round = 0; round < 100; ++round) {
    const Lists lists = drawn_lists(seed * 1000 + round);
    double sum = 0, untied_x = 0, untied_y = 0;
    for (std::size_t i = 0; i < lists.scores.size(); ++i)
      for (std::size_t j = 0; j < i; ++j) {
        const double x = sign(lists.scores[i] - lists.scores[j]), y = sign(lists.lengths[i] - lists.lengths[j]);
        sum += x * y;
        untied_x += x * x;
        untied_y += y * y;
      }
    const double got = kendall_tau_b(lists.scores, lists.lengths);
    if (untied_x * untied_y == 0)
      EXPECT_TRUE(std::isnan(got));
    else
      EXPECT_NEAR(got, sum / std::sqrt(untied_x * untied_y), 1e-14) << "round " << round;
    const double of_labels = ranking_metrics(lists.scores, lists.correct).kendall;
    const double general = kendall_tau_b(lists.scores, lists.labels());
    EXPECT_TRUE(std::isnan(of_labels) || std::abs(of_labels - general) < 1e-14) << of_labels << " " << general;
  }
}

// The definition: every pair of rows compared; covariance of the per-row means.
struct StraightDeLong {
  std::vector<double> v10, v01;
  double auroc = 0;
};

StraightDeLong straight_delong(const std::vector<double>& scores, const std::vector<std::uint8_t>& correct) {
  StraightDeLong out;
  const auto wins = [](double right, double wrong) { return right > wrong ? 1.0 : right == wrong ? 0.5 : 0.0; };
  for (std::size_t i = 0; i < scores.size(); ++i) {
    double sum = 0, n = 0;
    for (std::size_t j = 0; j < scores.size(); ++j) {
      if (correct[i] == correct[j]) continue;
      sum += correct[i] ? wins(scores[i], scores[j]) : wins(scores[j], scores[i]);
      n += 1;
    }
    (correct[i] ? out.v10 : out.v01).push_back(sum / n);
  }
  for (const double v : out.v10) out.auroc += v / static_cast<double>(out.v10.size());
  return out;
}

double sample_covariance(const std::vector<double>& a, const std::vector<double>& b) {
  const double n = static_cast<double>(a.size());
  double ab = 0, sum_a = 0, sum_b = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ab += a[i] * b[i];
    sum_a += a[i];
    sum_b += b[i];
  }
  return (ab - sum_a * sum_b / n) / (n - 1);
}

double delong_covariance(const StraightDeLong& a, const StraightDeLong& b) {
  return sample_covariance(a.v10, b.v10) / static_cast<double>(a.v10.size()) +
         sample_covariance(a.v01, b.v01) / static_cast<double>(a.v01.size());
}

TEST(DeLong, IsTheDefinition) {
  const std::uint64_t seed = testing::test_seed(42);
  int compared = 0;
  for (std::uint64_t round = 0; round < 200; ++round) {
    const Lists lists = drawn_lists(seed * 1000 + round);
    std::vector<double> other;
    for (std::size_t i = 0; i < lists.scores.size(); ++i)
      other.push_back(std::floor(lists.scores[i] / 3) - std::floor(lists.lengths[i] / 5));
    const DeLongComparison got = compare_aurocs(lists.scores, other, lists.correct);
    const auto right = std::count(lists.correct.begin(), lists.correct.end(), std::uint8_t{1});
    if (right < 2 || right + 2 > static_cast<std::ptrdiff_t>(lists.correct.size())) {
      EXPECT_TRUE(std::isnan(got.p));
      continue;
    }
    const StraightDeLong a = straight_delong(lists.scores, lists.correct), b = straight_delong(other, lists.correct);
    const double variance = delong_covariance(a, a) + delong_covariance(b, b) - 2 * delong_covariance(a, b);
    EXPECT_NEAR(got.a.auroc, a.auroc, 1e-13);
    EXPECT_NEAR(got.a.auroc, ranking_metrics(lists.scores, lists.correct).auroc, 1e-13);
    EXPECT_NEAR(got.a.variance, delong_covariance(a, a), 1e-13);
    EXPECT_NEAR(got.covariance, delong_covariance(a, b), 1e-13);
    EXPECT_NEAR(got.standard_error * got.standard_error, variance, 1e-13) << "round " << round;
    if (variance > 1e-9) {
      EXPECT_NEAR(got.z, (a.auroc - b.auroc) / std::sqrt(variance), 1e-6);
      EXPECT_NEAR(got.p, 2 * (0.5 * std::erfc(std::abs(got.z) / std::sqrt(2.0))), 1e-15);
    }
    ++compared;
  }
  EXPECT_GT(compared, 150);
}

TEST(DeLong, EqualRankingsDoNotDiffer) {
  const Lists lists = drawn_lists(7);
  std::vector<double> mapped;
  for (const double s : lists.scores) mapped.push_back(std::exp(s / 9));
  const DeLongComparison same = compare_aurocs(lists.scores, mapped, lists.correct);
  EXPECT_EQ(same.difference, 0);
  EXPECT_EQ(same.standard_error, 0);
  EXPECT_EQ(same.p, 1);
  const DeLongComparison apart = compare_aurocs(std::vector<double>{1, 2, 3, 4}, std::vector<double>{4, 3, 2, 1},
                                                std::vector<std::uint8_t>{0, 0, 1, 1});
  EXPECT_EQ(apart.difference, 1);
  EXPECT_TRUE(std::isnan(apart.p)) << "no error, so no test";
  EXPECT_TRUE(std::isnan(compare_aurocs({}, {}, {}).difference));
}

// max over a <= i of min over b >= i of the mean label of a..b (Barlow et al. 1972), on groups of equal x.
TEST(Isotonic, IsTheMaxMinFormula) {
  const std::uint64_t seed = testing::test_seed(43);
  for (std::uint64_t round = 0; round < 60; ++round) {
    const Lists lists = drawn_lists(seed * 1000 + round);
    std::map<double, std::pair<double, double>> groups;  // x -> right, rows
    for (std::size_t i = 0; i < lists.scores.size(); ++i) {
      groups[lists.scores[i]].first += lists.correct[i];
      groups[lists.scores[i]].second += 1;
    }
    const IsotonicFit fit = isotonic_fit(lists.scores, lists.correct);
    for (auto at = groups.begin(); at != groups.end(); ++at) {
      double best = 0;
      for (auto a = groups.begin(); a != std::next(at); ++a) {
        double right = 0, rows = 0, least = 1;
        for (auto b = a; b != groups.end(); ++b) {
          right += b->second.first;
          rows += b->second.second;
          if (b->first >= at->first) least = std::min(least, right / rows);
        }
        best = std::max(best, least);
      }
      EXPECT_NEAR(fit.at(at->first), best, 1e-13) << "round " << round;
    }
  }
  EXPECT_TRUE(std::isnan(IsotonicFit{}.at(1)));
}

}  // namespace
}  // namespace kvgauge
