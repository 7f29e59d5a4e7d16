"""Retrieve, then rank: a two-tower retriever finds a hundred items, a model of conversions orders them.

On a made-up log, of which the true chance of a conversion is known for every pair of user and item, and on
MovieLens 100K where it is at hand (a rating is a click, a rating of 4 or 5 a conversion):

    python examples/retrieve_then_rank.py           # minutes
    python examples/retrieve_then_rank.py --fast    # seconds, the made-up log alone
"""

from __future__ import annotations

import argparse

import numpy as np

from recsys_ssl import (
    EntireSpaceClassifier,
    Popularity,
    TwoTowerRetriever,
    evaluate_rankings,
    rank_by_fused_scores,
)
from recsys_ssl.encoding.features import Category
from recsys_ssl.funnels.conversion_ranking import rank_by_conversion
from recsys_ssl.splits import per_user_split
from sparse_data.datasets import DownloadError, Impressions, Interactions, fetch_movielens, make_funnel

IDS = [Category("user_id"), Category("item_id")]


def train_models(shown, fast, seed):
    """Return a retriever of clicks, popularity among conversions, and two models of conversions."""
    users, items = shown.columns["user_id"], shown.columns["item_id"]
    clicked, bought = shown.clicks == 1, shown.conversions == 1
    whole = {"validation_fraction": 0.0, "seed": seed, "verbose": False}
    two_tower = TwoTowerRetriever(epochs=4 if fast else 15, **whole)
    two_tower.fit(Interactions(users[clicked], items[clicked]))
    settings = {"features": IDS, "dim": 16, "hidden_units": (64, 32), "learning_rate": 0.003, **whole}
    rankers = {}
    for method in ("base", "esmm"):
        rankers[method] = EntireSpaceClassifier(method, epochs=3 if fast else 6, **settings)
        rankers[method].fit(shown, shown.clicks, shown.conversions)
    return two_tower, Popularity().fit(Interactions(users[bought], items[bought])), rankers


def rankings_of(models, users):
    """Return ten items a user in each order of the retriever's hundred."""
    two_tower, popularity, rankers = models
    found, _ = two_tower.recommend(users, 100)
    rows = np.searchsorted(popularity.item_ids_, found).clip(max=len(popularity.item_ids_) - 1)
    sold = np.where(popularity.item_ids_[rows] == found, popularity.popularity_[rows], 0)
    by_sales = np.argsort(-sold, axis=1, kind="stable")
    lists = {"retrieval alone": found, "popularity": np.take_along_axis(found, by_sales, axis=1)}
    for method, ranker in rankers.items():
        lists[f"{method}, pCTCVR"], _ = rank_by_conversion(two_tower, ranker, users)
        # The retriever is the model of clicks: relevance times the chance of a conversion after the click.
        lists[f"retrieval x {method}'s pCVR"], _ = rank_by_fused_scores(two_tower, ranker, users)
    return {name: items[:, :10] for name, items in lists.items()}


def planted(n, seed):
    """Return impressions, and a function that knows the expected conversions of ten recommended items."""
    rates = {"click_rate": 0.2, "conversion_rate": 0.2}
    funnel = make_funnel(n, n_users=n // 100, n_items=300, random_state=seed, **rates)

    def expected(users, items):
        clicks, conversions = funnel.probabilities(np.repeat(users, items.shape[1]), items.ravel())
        return (clicks * conversions).reshape(items.shape).sum(axis=1).mean()

    return funnel.impressions, expected


def movielens(seed):
    """Return impressions, with four unrated films a rating, and a function that measures on held-out rows."""
    log = fetch_movielens("100k", download=False)
    train, test = per_user_split(log, (0.9, 0.1), random_state=seed)
    generator = np.random.default_rng(seed)
    users = generator.choice(train.user_ids, 4 * len(train))
    items = generator.choice(log.items["item_id"], 4 * len(train))
    unrated = ~np.isin(users * 10_000 + items, train.user_ids * 10_000 + train.item_ids)
    columns = {"user_id": np.append(train.user_ids, users[unrated])}
    columns["item_id"] = np.append(train.item_ids, items[unrated])
    clicks = np.arange(len(columns["user_id"])) < len(train)
    liked = np.append(train.ratings >= 4, np.zeros(unrated.sum(), dtype=bool))
    held_out = test.take(test.ratings >= 4)

    def ndcg(users, items):
        frame = evaluate_rankings(users, items, train, held_out, k=10, slices=None, n_bootstrap=0)
        return float(frame.set_index("metric")["value"]["ndcg"])

    return Impressions(columns, clicks, liked), ndcg


def main() -> None:
    """Train, rank, measure, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fast", action="store_true", help="few impressions, the made-up log alone")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    n = 20_000 if options.fast else 100_000
    cases = {"planted": ("expected conversions of ten recommended items", *planted(n, options.seed))}
    if not options.fast:
        try:
            cases["movielens"] = ("NDCG at 10 of films rated 4 or 5", *movielens(options.seed))
        except DownloadError:
            print("MovieLens 100K is not there: sparse_data.datasets.fetch_movielens() downloads it.")
    for name, (label, shown, measure) in cases.items():
        models = train_models(shown, options.fast, options.seed)
        users = models[0].user_ids_
        found = {order: measure(users, items) for order, items in rankings_of(models, users).items()}
        print(f"{name}, {shown}: {label}")
        print("\n".join(f"  {order:28s}{value:.4f}" for order, value in found.items()))


if __name__ == "__main__":
    main()
