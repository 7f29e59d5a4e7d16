"""Posteriors of labels from counts with privacy noise: the matching potential beside others, and no counts.

Labels are drawn from known logits, N(-2, 1.5²); counts of their bags get two-sided geometric noise of budget
ε.  `prior` ignores the bags; `hard` takes the noisy counts for exact (cut to what is possible), `penalty` for
a quadratic penalty of 10; `gaussian` has the variance of the noise and `matched` its distribution.

    python benchmarks/bench_private_counts.py
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from results_file import ResultsFile, circumstances
from scipy.special import expit
from sklearn.metrics import log_loss, roc_auc_score

from noisy_labels.proportions.bag_construction import make_bags
from noisy_labels.proportions.count_messages import count_posterior
from noisy_labels.proportions.count_potentials import CountPotential, ExactCount, QuadraticCount
from noisy_labels.proportions.noisy_counts import DiscreteLaplaceCount, GaussianCount

ROWS = 131_072
CELLS = [(8, 0.25), (8, 1.0), (8, 4.0), (32, 0.25), (32, 1.0), (128, 0.25)]
SEEDS = (0, 1, 2)


def potentials(counts: NDArray[np.float64], bag: int, epsilon: float) -> dict[str, CountPotential]:
    decay = np.exp(-epsilon)
    deviation = np.sqrt(2 * decay) / (1 - decay)
    return {
        "hard": ExactCount(np.clip(counts, 0, bag)),
        "penalty": QuadraticCount(counts, 10.0),
        "gaussian": GaussianCount(counts, deviation),
        "matched": DiscreteLaplaceCount(counts, epsilon),
    }


def main() -> None:
    results = ResultsFile("private_counts", key=("bag", "epsilon", "potential", "seed"))
    for bag, epsilon in CELLS:
        for seed in SEEDS:
            rng = np.random.default_rng(seed)
            logits = rng.normal(-2, 1.5, ROWS)
            y = (rng.random(ROWS) < expit(logits)).astype(float)
            made = make_bags(y, size=bag, epsilon=epsilon, random_state=seed)
            found = {"prior": expit(logits)}
            for name, potential in potentials(made.counts, bag, epsilon).items():
                found[name] = count_posterior(logits, made.bags, potential)
            for name, posterior in found.items():
                run = {"bag": bag, "epsilon": epsilon, "potential": name, "seed": seed}
                if results.holds(run):
                    continue
                sure = np.clip(posterior, 1e-12, 1 - 1e-12)
                measured = {"auc": float(roc_auc_score(y, posterior)), "log_loss": float(log_loss(y, sure))}
                results.append({**run, **measured, **circumstances("numpy", "numba")})
                print({**run, **measured}, flush=True)


if __name__ == "__main__":
    main()
