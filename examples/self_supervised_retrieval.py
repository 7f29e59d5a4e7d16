"""Items that almost nobody chose yet: what they are like helps to find them.

Trains a two-tower model without and with self-supervised item learning on a tenth of a made-up log, prints
recall by how often items occur in training, and draws it by decile:

    python examples/self_supervised_retrieval.py            # about a minute
    python examples/self_supervised_retrieval.py --fast     # seconds
"""

from __future__ import annotations

import argparse

import numpy as np

from recsys_ssl import FeatureDropout, SelfSupervision, TwoTowerRetriever
from recsys_ssl.comparison import compare_retrievers, recall_by_decile
from recsys_ssl.plots import plot_recall_by_decile
from recsys_ssl.splits import random_split
from sparse_data import datasets


def main() -> None:
    """Train, compare, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fast", action="store_true", help="a smaller catalogue, few epochs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", default=None, help="where the picture is saved")
    options = parser.parse_args()

    size = (600, 800, 30_000) if options.fast else (2000, 2000, 100_000)
    planted = datasets.make_interactions(*size, affinity=3.0, redundancy=1.0, random_state=options.seed)
    train, test = random_split(planted.interactions, (0.8, 0.2), random_state=options.seed)
    few = np.random.default_rng(options.seed).permutation(len(train))[: len(train) // 10]
    train = train.take(np.sort(few))
    test = test.take(np.isin(test.user_ids, train.user_ids))
    print(f"{len(train)} pairs to train on, {len(test)} held out")

    # Half of the fields are hidden in one view of an item, the others in the other view. "cfm" hides fields
    # that tell each other together; here category and department are one under two names.
    tasks = {
        "without": None,
        "feature dropout": FeatureDropout(0.1, seed=options.seed),
        "random masks": SelfSupervision("rfm", weight=1.0, seed=options.seed),
        "correlated masks": SelfSupervision("cfm", weight=1.0, seed=options.seed),
    }
    if options.fast:
        tasks = {name: tasks[name] for name in ("without", "correlated masks")}
    models = {}
    for name, task in tasks.items():
        models[name] = TwoTowerRetriever(
            self_supervision=task,
            learning_rate=0.01,
            batch_size=512,
            epochs=3 if options.fast else 7,
            validation_fraction=0.0,
            seed=options.seed,
            verbose=not options.fast,
        ).fit(train)

    metric = "hit_rate_per_interaction"
    table = compare_retrievers(models, train, test, k=[50], metrics=[metric], n_bootstrap=100)
    print("Recall at 50 over the full catalogue, seen items removed; 95 % intervals over users:")
    print(table.droplevel(["metric", "k"]).to_string())

    recalls = recall_by_decile(models, train, test, k=50)
    figure = plot_recall_by_decile(recalls, k=50)
    if options.picture is not None:
        figure.savefig(options.picture, dpi=120)
        print(f"Written to {options.picture}")


if __name__ == "__main__":
    main()
