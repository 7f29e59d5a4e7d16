"""Clean the log first: find rows that the rest of a log finds improbable, and train without them.

On links between pages with planted wrong ones and, where MovieLens 100K is at hand, on its ratings of 4 and 5
with accidental ones among them and on all its ratings, as if a film that was seen were a film that was liked:

    python examples/clean_the_log.py --pictures FOLDER   # minutes
    python examples/clean_the_log.py --fast              # seconds, a part of the bundled links
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from noisy_labels import find_label_issues, label_quality
from recsys_ssl import EASE, IALS, TwoTowerRetriever, evaluate_retriever, out_of_fold_scores
from recsys_ssl.splits import random_split
from sparse_data.datasets import DownloadError, Interactions, fetch_movielens, fetch_wikipedia_links


def with_accidents(log, whole, seed, share=0.25):
    """Return the log with random pairs that the whole one does not hold, and which rows they are."""
    generator = np.random.default_rng(seed)
    users, items = generator.choice(log.user_ids, 2 * len(log)), generator.choice(log.item_ids, 2 * len(log))
    new = np.flatnonzero(~np.isin(users * 100_000 + items, whole.user_ids * 100_000 + whole.item_ids))
    new = new[: round(len(log) * share / (1 - share))]
    mixed = Interactions(np.append(log.user_ids, users[new]), np.append(log.item_ids, items[new]))
    return mixed, np.arange(len(mixed)) >= len(log)


def confidence(log, seed):
    """Return how sure the other folds are of each row, and the rows that confident learning finds wrong."""
    own, others = out_of_fold_scores(IALS(8, regularization=0.01, random_state=seed), log, random_state=seed)
    scores, labels = np.concatenate([own, others]), np.repeat([1, 0], len(log))
    judged = np.isfinite(scores)
    model = LogisticRegression().fit(scores[judged, None], labels[judged])
    pred_probs = model.predict_proba(scores[judged, None])
    # Rows of users or items that no other fold knows are kept: nothing speaks against them.
    quality, issues = np.ones(len(scores)), np.zeros(len(scores), dtype=bool)
    quality[judged] = label_quality(labels[judged], pred_probs, score="self_confidence")
    issues[judged] = find_label_issues(labels[judged], pred_probs, method="prune_by_noise_rate")
    return quality[: len(log)], issues[: len(log)]


def compare(name, train, wrong, held_out, make_model, seed):
    """Print what training on each version of the log comes to; return the quality of its rows."""
    quality, issues = confidence(train, seed)
    area = roc_auc_score(~wrong, quality)
    print(f"\n{name}: {len(train)} rows, {wrong.mean():.0%} wrong; area under the curve {area:.2f}")
    fifth = quality.argsort(kind="stable").argsort() < len(train) // 5
    versions = {"as given": np.zeros(len(train), dtype=bool), "without the least probable fifth": fifth}
    versions["without a random fifth"] = np.random.default_rng(seed).permutation(fifth)
    versions["without what confident learning flags"] = issues
    versions["without the wrong rows"] = wrong
    for version, dropped in versions.items():
        model = make_model().fit(train.take(~dropped))
        frame = evaluate_retriever(model, train, held_out, 20, slices=None, n_bootstrap=0)
        recall = frame.set_index("metric")["value"]["recall"]
        share = f"{wrong[dropped].mean():4.0%}" if dropped.any() else "   -"
        print(f"  {version:40s}dropped {dropped.mean():4.0%}, of them wrong {share}, recall {recall:.4f}")
    return quality


def movielens():
    """Return the ratings, or None with a word where they are not at hand."""
    try:
        return fetch_movielens("100k", download=False).replace(users=None, items=None, timestamps=None)
    except DownloadError:
        print("MovieLens 100K is not there: sparse_data.datasets.fetch_movielens() downloads it.")


def draw(cases):
    """Draw the quality of right and wrong rows of each log."""
    figure = Figure(figsize=(4 * len(cases), 3), layout="constrained")
    panels = figure.subplots(1, len(cases), squeeze=False)[0]
    for axes, (name, (quality, wrong)) in zip(panels, cases.items(), strict=True):
        for rows, label in ((~wrong, "right"), (wrong, "wrong")):
            axes.hist(quality[rows], np.linspace(0, 1, 41), density=True, alpha=0.6, label=label)
        axes.set(title=name, xlabel="out-of-fold quality of the row")
        axes.legend()
    return figure


def main() -> None:
    """Plant, find, drop, train, measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fast", action="store_true", help="a part of the bundled links")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pictures", default=None, help="folder where the picture is saved")
    options = parser.parse_args()
    seed, cases = options.seed, {}

    links = fetch_wikipedia_links().replace(users=None, items=None)
    links = links.take(links.user_ids % (4 if options.fast else 1) == 0)
    train, test = random_split(links, random_state=seed)
    mixed, wrong = with_accidents(train, links, seed)
    cases["Wrong links"] = compare("Wrong links", mixed, wrong, test, EASE, seed), wrong
    log = None if options.fast else movielens()
    if log is not None:
        train, test = random_split(log, random_state=seed)
        test, disliked = test.take(test.ratings >= 4), train.ratings < 4

        def two_tower():
            return TwoTowerRetriever(epochs=15, validation_fraction=0.0, seed=seed, verbose=False)

        mixed, wrong = with_accidents(train.take(~disliked), log, seed)
        cases["Accidents"] = compare("Accidents", mixed, wrong, test, two_tower, seed), wrong
        cases["Disliked films"] = compare("Disliked films", train, disliked, test, two_tower, seed), disliked
    if options.pictures is not None:
        draw(cases).savefig(Path(options.pictures) / "pipelines_log_quality.png", dpi=120)


if __name__ == "__main__":
    main()
