// tests/golden/mlp.json: forward, MSE, gradients and Adam's steps of three networks, one of them of the released size.
#include "mlp_problem.h"

namespace kvgauge::testing {
namespace {

/// A case: all examples are the batch, in order.
Problem golden_problem(const Json& one) {
  const std::size_t features = one["F"], hidden = one["hidden"], batch = one["B"];
  Problem problem(batch, features, hidden, batch);
  Lcg numbers(one["seed"]);
  const double share = 1 / std::sqrt(static_cast<double>(features)),
               hidden_share = 1 / std::sqrt(static_cast<double>(hidden));
  std::size_t at = 0;
  const auto put = [&](std::size_t count, double scale) {  // W1, b1, W2, b2: the order of ours
    for (const double x : numbers.values(count, &Lcg::f24, scale)) problem.parameters[at++] = static_cast<float>(x);
  };
  put(hidden * features, share), put(hidden, share), put(hidden, hidden_share), put(1, hidden_share);
  const auto x = numbers.values(batch * features, &Lcg::f24, 4);
  problem.features_matrix.set({x.begin(), x.end()});
  for (std::size_t i = 0; i < batch; ++i) {
    problem.labels[i] = one["labels"][i];
    problem.rows.push_back(static_cast<std::int32_t>(i));
  }
  return problem;
}

/// The same in double: weights as the golden's generator has them, not rounded to f32.
MlpReference golden_reference(const Json& one) {
  const std::size_t features = one["F"], hidden = one["hidden"];
  Lcg numbers(one["seed"]);
  const double share = 1 / std::sqrt(static_cast<double>(features)),
               hidden_share = 1 / std::sqrt(static_cast<double>(hidden));
  MlpReference net{features, hidden, {}, {}, {}, 0};
  net.w1 = numbers.values(hidden * features, &Lcg::f24, share);
  net.b1 = numbers.values(hidden, &Lcg::f24, share);
  net.w2 = numbers.values(hidden, &Lcg::f24, hidden_share);
  net.b2 = numbers.values(1, &Lcg::f24, hidden_share)[0];
  return net;
}

Json golden_cases() { return parse_json(read_file(repo_path("tests/golden/mlp.json")), "mlp.json")["cases"]; }

std::vector<double> flat(const Json& values) {
  std::vector<double> out;
  for (const Json& value : values) {
    if (value.is_array()) {
      const auto inner = flat(value);
      out.insert(out.end(), inner.begin(), inner.end());
    } else {
      out.push_back(value.get<double>());
    }
  }
  return out;
}
double length(std::span<const double> values) {
  double squares = 0;
  for (const double x : values) squares += x * x;
  return std::sqrt(squares);
}

constexpr double kGolden = 1e-10;  // METHOD.md J
void expect_near(const std::vector<double>& got, const std::vector<double>& want, const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (std::size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got[i], want[i], kGolden * std::max(1.0, std::abs(want[i]))) << what << " " << i;
}

TEST(MlpGolden, TheReferenceReproducesItInDouble) {
  const Json cases = golden_cases();
  ASSERT_EQ(cases.size(), 3u);
  for (const Json& one : cases) {
    MlpReference net = golden_reference(one);
    const Problem problem = golden_problem(one);
    std::vector<std::vector<double>> xs;
    for (std::size_t i = 0; i < problem.rows.size(); ++i) xs.push_back(problem.x(i));
    const std::vector<double> labels = flat(one["labels"]), weights(labels.size(), 1);
    const double share = 1 / static_cast<double>(labels.size());
    const auto outs = [&] {
      std::vector<double> out;
      for (const auto& x : xs) out.push_back(reference_mlp_forward(net, x).out);
      return out;
    };
    expect_near(outs(), flat(one["out"]), "out");
    AdamReference adam{.learning_rate = one["lr"]};
    std::vector<double> losses;
    for (int step = 0; step < one["steps"].get<int>(); ++step) {
      const MlpGradient g = reference_mlp_backward(net, xs, labels, weights, {}, share).value;
      losses.push_back(g.total);
      if (step == 0) {
        const std::vector<double> got = {length(g.w1), length(g.b1), length(g.w2), std::abs(g.b2)};
        const Json& l2 = one["grad_l2"];
        expect_near(got, {l2["W1"], l2["b1"], l2["W2"], l2["b2"]}, "lengths of gradients");
        if (one.contains("grad")) {
          const Json& grad = one["grad"];
          expect_near(g.w1, flat(grad["W1"]), "dW1");
          expect_near(g.b1, flat(grad["b1"]), "db1");
          expect_near(g.w2, flat(grad["W2"]), "dw2");
          expect_near({g.b2}, flat(grad["b2"]), "db2");
        }
      }
      std::vector<double> all = net.w1, gradients = g.w1;
      for (const auto* part : {&net.b1, &net.w2}) all.insert(all.end(), part->begin(), part->end());
      all.push_back(net.b2);
      for (const auto* part : {&g.b1, &g.w2}) gradients.insert(gradients.end(), part->begin(), part->end());
      gradients.push_back(g.b2);
      adam.apply(all, gradients);
      std::size_t at = 0;
      for (auto* part : {&net.w1, &net.b1, &net.w2})
        for (double& w : *part) w = all[at++];
      net.b2 = all[at];
    }
    expect_near(losses, flat(one["losses"]), "losses");
    expect_near(outs(), flat(one["out_after"]), "out after the steps");
    const auto sum = [](const std::vector<double>& values) {
      return std::accumulate(values.begin(), values.end(), 0.0);
    };
    const Json& sums = one["param_sum_after"];
    expect_near({sum(net.w1), sum(net.b1), sum(net.w2), net.b2}, {sums["W1"], sums["b1"], sums["W2"], sums["b2"]},
                "sums of parameters");
    if (one.contains("params_after")) {
      const Json& after = one["params_after"];
      expect_near(net.w1, flat(after["W1"]), "W1");
      expect_near(net.b1, flat(after["b1"]), "b1");
      expect_near(net.w2, flat(after["W2"]), "w2");
      expect_near({net.b2}, flat(after["b2"]), "b2");
    }
  }
}

class MlpGoldenTraining : public OnEveryExecutor {};

// In f32. Chains of up to `features` roundings wander as their square root; 8 deviations of that, relative to the sums
// of magnitudes, hold for every o here. The loss is a square of about 100, so its relative error is 2 |o| errors / 100.
TEST_P(MlpGoldenTraining, FollowsItInSingle) {
  const auto backend = backend_for(GetParam());
  for (const Json& one : golden_cases()) {
    Problem problem = golden_problem(one);
    const double roundings = 8 * std::sqrt(static_cast<double>(problem.features + problem.hidden)) * kFloatEps;
    double size = 0;
    for (std::size_t i = 0; i < problem.rows.size(); ++i)
      size = std::max(size, reference_mlp_forward(problem.reference(), problem.x(i)).out_size);
    const auto expect_out = [&](const Json& want) {
      for (std::size_t i = 0; i < problem.rows.size(); ++i)
        EXPECT_NEAR(problem.out[i], want[i].get<double>(), roundings * size) << problem.features;
    };
    DeviceVector<float> m(problem.parameters.size()), v(problem.parameters.size());
    // interpreting a million parameters takes seconds: kernels take one step of the released size
    const bool one_step = GetParam().on_device() && problem.parameters.size() > 10'000;
    const int steps = one_step ? 1 : one["steps"].get<int>();
    for (int step = 1; step <= steps; ++step) {
      double total = 0;
      backend->mlp_forward(problem.forward());
      if (step == 1) expect_out(one["out"]);
      backend->mlp_backward(problem.backward({}, &total));
      const double loss = one["losses"][static_cast<std::size_t>(step - 1)];
      EXPECT_NEAR(total, loss, 2 * 101 * roundings * size) << "step " << step;
      if (step == 1) {
        const auto expect_length = [&](const float* from, std::size_t count, const char* name) {
          const double want = one["grad_l2"][name];
          EXPECT_NEAR(length(std::vector<double>(from, from + count)), want, (roundings * size / 25 + roundings) * want)
              << name << " of " << problem.features;
        };
        expect_length(problem.w1(problem.gradients), problem.hidden * problem.features, "W1");
        expect_length(problem.b1(problem.gradients), problem.hidden, "b1");
        expect_length(problem.w2(problem.gradients), problem.hidden, "W2");
        expect_length(problem.b2(problem.gradients), 1, "b2");
      }
      backend->mlp_step({.parameters = problem.parameters.data(),
                         .gradients = problem.gradients.data(),
                         .m = m.data(),
                         .v = v.data(),
                         .count = std::ssize(problem.parameters),
                         .step = step,
                         .learning_rate = one["lr"]});
    }
    if (one_step) continue;
    backend->mlp_forward(problem.forward());
    expect_out(one["out_after"]);
    if (!one.contains("params_after")) continue;
    const auto w1 = flat(one["params_after"]["W1"]), w2 = flat(one["params_after"]["W2"]);
    // m and sqrt(v) carry the gradient's relative error, so a step of size lr is off by twice that
    const double tolerance = steps * (2 * one["lr"].get<double>() * 1e-4 + 2 * kFloatEps);
    for (std::size_t i = 0; i < w1.size(); ++i) EXPECT_NEAR(problem.w1(problem.parameters)[i], w1[i], tolerance) << i;
    for (std::size_t i = 0; i < w2.size(); ++i) EXPECT_NEAR(problem.w2(problem.parameters)[i], w2[i], tolerance) << i;
  }
}

KVGAUGE_ON_EVERY_EXECUTOR(MlpGoldenTraining);

}  // namespace
}  // namespace kvgauge::testing
