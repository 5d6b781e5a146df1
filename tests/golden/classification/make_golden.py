"""classification.json: logistic regression, the MTEB classification protocol, its scores and tf-idf as scikit-learn
has them. Numbers come from the generator of lcg.json, so that only seeds and results are stored.
    python3 make_golden.py > classification.json
"""
import json
import warnings

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, average_precision_score, f1_score

warnings.simplefilter("ignore")


class Lcg:
    def __init__(self, seed):
        self.state = seed

    def f24(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return ((self.state >> 40) - 2**23) / 2**23

    def array(self, rows, columns, scale=1.0):
        return np.array([[self.f24() * scale for _ in range(columns)] for _ in range(rows)])


def data(lcg, rows, classes, columns, scale, separation):
    """centres first; row i: noise, plus separation times the centre of label i % classes, plus 1 (a shared component)"""
    centres = lcg.array(classes, columns)
    labels = np.arange(rows) % classes
    return lcg.array(rows, columns, scale) + separation * centres[labels] + 1, labels


def fit(x, y):
    """the optimum: Newton's method until its steps end; the default solver stops earlier"""
    return LogisticRegression(solver="newton-cg", tol=1e-13, max_iter=1000).fit(x, y)


def regressions():
    for seed, rows, classes, columns, scale, separation in [
        (1, 24, 2, 6, 1, 0.5), (2, 40, 3, 5, 5, 1), (3, 96, 12, 20, 1, 0.2), (4, 60, 2, 90, 0.1, 0.02), (5, 16, 2, 3, 1, 20),
    ]:
        x, y = data(Lcg(seed), rows, classes, columns, scale, separation)
        model = fit(x, y)
        z = x @ model.coef_.T + model.intercept_
        if classes == 2:
            p = 1 / (1 + np.exp(-z[:, 0]))
            gradient = model.coef_[0] + x.T @ (p - y)
        else:
            p = np.exp(z - z.max(1, keepdims=True))
            p /= p.sum(1, keepdims=True)
            gradient = model.coef_ + (p - np.eye(classes)[y]).T @ x
        assert abs(gradient).max() < 1e-7, abs(gradient).max()
        yield dict(seed=seed, rows=rows, classes=classes, columns=columns, scale=scale, separation=separation,
                   coef=model.coef_.tolist(), intercept=model.intercept_.tolist())


def scores(truth, predicted, two):
    ap = average_precision_score(np.array(truth) == 1, predicted) if two else None
    return dict(accuracy=accuracy_score(truth, predicted), macro_f1=f1_score(truth, predicted, average="macro"),
                weighted_f1=f1_score(truth, predicted, average="weighted"), ap=ap)


def protocols():
    for seed, rows, test_rows, classes, columns, samples in [(11, 60, 50, 2, 8, 8), (12, 150, 90, 5, 12, 8), (13, 30, 24, 3, 6, 32)]:
        lcg = Lcg(seed)
        x, y = data(lcg, rows + test_rows, classes, columns, 1, 0.3)
        x = x.astype(np.float32)
        unit = (x / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)).astype(np.float32).astype(np.float64)
        train_x, test_x, train_y, test_y = unit[:rows], unit[rows:], y[:rows], y[rows:]
        order, experiments = np.arange(rows), []
        for _ in range(10):
            np.random.RandomState(42).shuffle(order)
            taken, picked = {}, []
            for i in order:
                if taken.setdefault(train_y[i], 0) < samples:
                    picked.append(int(i))
                    taken[train_y[i]] += 1
            predicted = fit(train_x[picked], train_y[picked]).predict(test_x)
            default = LogisticRegression(random_state=42, max_iter=100).fit(train_x[picked], train_y[picked]).predict(test_x)
            experiments.append(dict(rows=picked, default_differs=int((predicted != default).sum()),
                                    **scores(test_y, predicted, classes == 2)))
        yield dict(seed=seed, rows=rows, test_rows=test_rows, classes=classes, columns=columns, separation=0.3,
                   samples_per_label=samples, experiments=experiments,
                   mean_accuracy=float(np.mean([e["accuracy"] for e in experiments])),
                   sd_accuracy=float(np.std([e["accuracy"] for e in experiments], ddof=1)))


def score_lists():
    generator = np.random.RandomState(7)
    for case in range(40):
        labels = 2 if case % 2 else int(generator.randint(3, 7))
        n = int(generator.randint(2, 60))
        truth = generator.randint(0, labels, n)
        predicted = np.where(generator.rand(n) < 0.6, truth, generator.randint(0, labels, n))
        if labels == 2 and len(set(truth)) < 2:
            continue
        yield dict(labels=labels, truth=truth.tolist(), predicted=predicted.tolist(), **scores(truth, predicted, labels == 2))


def words():
    texts = ["Sara owns 8 apples. Sara has 4 times as many apples as Jane.", "ÉCOLE école, Straße_7 naïve-naïve",
             "The price is 3.50 dollars; 3 dollars!", "", "...", "数 2x 数 apples"]
    test = ["Jane has 8 apples and an école", "nothing known", "数 数 2x 3"]
    vectorizer = TfidfVectorizer(token_pattern=r"\w+")
    train = vectorizer.fit_transform(texts).toarray()
    return dict(texts=texts, test=test, names=vectorizer.get_feature_names_out().tolist(), train=train.tolist(),
                of_test=vectorizer.transform(test).toarray().tolist())


print(json.dumps(dict(doc=__doc__, regressions=list(regressions()), protocols=list(protocols()), scores=list(score_lists()),
                      words=words()), ensure_ascii=False))
