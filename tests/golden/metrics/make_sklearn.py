"""Metrics of 1,000 random lists with ties by scikit-learn and scipy: python3 make_sklearn.py > sklearn.json

Only what the libraries return is stored. The lists come from the generator of METHOD.md J, one stream per list, so a
test draws them again: with s0 = 1 + number of the list and u(k) = (next() >> 40) mod k,
  n = 2 + u(200), levels = 1 + u(40); for each row: label = u(100) < share, score = u(levels) + label * u(3),
  length = 10 + u(30) + (0 if label else u(20));  share = 5 + u(91) is drawn after levels.
All values are small integers. A list of one class has nulls for what needs two.
"""
import json

import numpy
import scipy
import sklearn
from scipy.interpolate import interp1d
from scipy.stats import kendalltau, rankdata, spearmanr
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

FIELDS = ["auroc", "fpr95", "fpr95_min", "aupr", "aupr_wrong", "ap", "kendall", "spearman", "spearman_length",
          "partial_spearman", "isotonic"]


class Lcg:
    def __init__(self, seed):
        self.s = seed

    def u(self, k):
        self.s = (self.s * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.s >> 40) % k


def draw(number):
    lcg = Lcg(1 + number)
    n, levels, share = 2 + lcg.u(200), 1 + lcg.u(40), 5 + lcg.u(91)
    labels, scores, lengths = [], [], []
    for _ in range(n):
        label = int(lcg.u(100) < share)
        labels.append(label)
        scores.append(lcg.u(levels) + label * lcg.u(3))
        lengths.append(10 + lcg.u(30) + (0 if label else lcg.u(20)))
    return numpy.array(labels), numpy.array(scores, float), numpy.array(lengths, float)


def residual(values, control):
    columns = numpy.stack([numpy.ones_like(control), control], axis=1)
    return values - columns @ numpy.linalg.lstsq(columns, values, rcond=None)[0]


def partial(x, y, z):
    """Correlation of the residuals of the ranks after least squares on z's ranks."""
    x, y, z = rankdata(x), rankdata(y), rankdata(z)
    if len(set(x)) < 2 or len(set(y)) < 2:
        return None
    a, b = residual(x, z), residual(y, z)
    if a @ a < 1e-9 * len(a) or b @ b < 1e-9 * len(b):
        return None
    return float(a @ b / numpy.sqrt((a @ a) * (b @ b)))


def number(value):
    return None if value is None or not numpy.isfinite(value) else float(f"{value:.15g}")


def metrics(labels, scores, lengths):
    if len(set(labels)) < 2:
        return [None] * len(FIELDS)
    fpr, tpr, _ = roc_curve(labels, scores)
    precision, recall, _ = precision_recall_curve(labels, scores)
    wrong_precision, wrong_recall, _ = precision_recall_curve(1 - labels, -scores)
    full_fpr, full_tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    isotonic = IsotonicRegression().fit(scores, labels).predict(scores)
    values = [
        roc_auc_score(labels, scores), float(interp1d(tpr, fpr)(0.95)), min(full_fpr[full_tpr >= 0.95]),
        auc(recall, precision), auc(wrong_recall, wrong_precision), average_precision_score(labels, scores),
        kendalltau(scores, labels).statistic if len(set(scores)) > 1 else None,
        spearmanr(scores, labels).statistic if len(set(scores)) > 1 else None,
        spearmanr(scores, lengths).statistic if len(set(scores)) > 1 and len(set(lengths)) > 1 else None,
        partial(scores, labels, lengths), float(numpy.mean(isotonic**2)),
    ]
    return [number(v) for v in values]


rows = [metrics(*draw(i)) for i in range(1000)]
print(json.dumps({"sklearn": sklearn.__version__, "scipy": scipy.__version__, "numpy": numpy.__version__,
                  "fields": FIELDS}, indent=None)[:-1] + ', "lists": [')
print(",\n".join(json.dumps(r) for r in rows))
print("]}")
