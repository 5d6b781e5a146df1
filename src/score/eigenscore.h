#pragma once
#include <span>

namespace kvgauge {

/// EigenScore of K answers from one vector z_i each (METHOD.md I; Chen et al., "INSIDE: LLMs' Internal States Retain
/// the Power of Hallucination Detection", 2024): higher = the answers differ more.
///   score = (1/K) sum_k ln lambda_k(S + alpha I),  S = Z J Z^T,  J = I - 1 1^T / D  (each z_i less its own mean)
/// The logarithms of the eigenvalues sum to that of the determinant, so they come from a Cholesky factor:
/// sum ln lambda = 2 sum ln L_kk, exact to rounding, K^3/3 operations and K^2 doubles.
/// @param vectors of one length D; @return NaN if there is none, if one is empty, or if a number is not finite
double eigen_score(std::span<const std::span<const float>> vectors, double alpha = 1e-3);

}  // namespace kvgauge
