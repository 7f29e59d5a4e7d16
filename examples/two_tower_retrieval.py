"""Two-tower retrieval on real data: which film does a person watch, which page does a page link to.

Trains on MovieLens 100K where it is at hand (or may be downloaded), otherwise on the bundled Wikipedia links,
and compares ways of correcting for the popularity of in-batch negatives with three strong baselines:

    python examples/two_tower_retrieval.py            # some minutes
    python examples/two_tower_retrieval.py --fast     # seconds, on the Wikipedia links
"""

from __future__ import annotations

import argparse

from recsys_ssl import EASE, IALS, Popularity, SampledSoftmax, TwoTowerRetriever
from recsys_ssl.comparison import compare_retrievers
from recsys_ssl.demo import demo_data
from recsys_ssl.splits import random_split
from sparse_data import datasets


def main() -> None:
    """Train, compare, recommend."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fast", action="store_true", help="a small part of the bundled data, few epochs")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    if options.fast:
        log = datasets.fetch_wikipedia_links()
        name, log = "Wikipedia links, a third of the pages", log.take(log.user_ids % 3 == 0)
    else:
        name, log = demo_data()
    train, test = random_split(log, random_state=options.seed)
    print(f"{name}: {log}")

    # The items of a batch are each other's negatives, so that popular items are negatives too often. logQ
    # takes that back; without it the model learns to avoid what is popular.
    losses = {
        "no correction": SampledSoftmax(correction="none"),
        "logQ": SampledSoftmax(correction="logq"),
        "logQ, positive left out": SampledSoftmax(correction="leave_positive_out"),
        "logQ, cosine": SampledSoftmax("cosine", temperature=0.1),
    }
    settings = {"epochs": 2, "validation_fraction": 0.0} if options.fast else {}
    models = {"Popularity": Popularity(), "EASE": EASE(), "iALS": IALS(random_state=options.seed)}
    for label, loss in losses.items():
        # Cosine vectors have length 1 whatever their norm is, so that there is nothing for l2 to shrink.
        l2 = 0.0 if loss.similarity == "cosine" else 0.05
        models[f"two-tower, {label}"] = TwoTowerRetriever(loss=loss, l2=l2, seed=options.seed, **settings)
    for model in models.values():
        model.fit(train)

    table = compare_retrievers(models, train, test, k=(10, 100), metrics=["recall"], n_bootstrap=100)
    print(table.loc["recall"].T.to_string())

    # Items that nobody chose yet are ranked by their features, and new users by what they like.
    best = models["two-tower, logQ"]
    liked = train.item_ids[train.user_ids == train.user_ids[0]][:3]
    items, _ = best.recommend_for_items([liked], k=5)
    print(f"Somebody who likes {liked.tolist()} is recommended {items[0].tolist()}")


if __name__ == "__main__":
    main()
