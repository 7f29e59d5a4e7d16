"""Clean the log first: does it help a retriever to drop the rows that the other rows find improbable.

Each row of the log gets the score of a model of the other folds, the log and as many pairs that it does not
hold calibrate the score, and confident learning says which rows are likely wrong. Controls: the log as it is,
as many rows dropped at random, and the log without its wrong rows.

- movielens-1m: DiffRec's noisy set, a random third of the users: in training and validation ratings below 4
  count as well, the test part is of ratings of 4 and 5. Which training rows are wrong is read off the clean
  set, whose test part is the same.
- accidents: MovieLens 100K, ratings of 4 and 5, 8:1:1 at random for each user; a quarter of the rows of
  training and validation are planted accidents: users by activity, films by popularity.

Rule and share are chosen on the validation part, noise and all, with EASE and seed 0; the two-tower retriever
is then trained with five seeds, which change users or split, accidents, folds and first weights.

    SPARSELABELS_DATA=<folder> KERAS_BACKEND=jax python benchmarks/bench_pipeline_clean_log.py
    python benchmarks/bench_pipeline_clean_log.py --data accidents
    python benchmarks/bench_pipeline_clean_log.py --summary
    python benchmarks/bench_pipeline_clean_log.py --fast     one seed, one epoch, *_fast.csv
"""

from __future__ import annotations

import argparse
import time
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from results_file import ResultsFile, circumstances
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from noisy_labels import find_label_issues, label_quality
from recsys_ssl import EASE, IALS, TwoTowerRetriever, evaluate_retriever, out_of_fold_scores
from recsys_ssl.recommenders.recommender import Recommender
from recsys_ssl.splits import per_user_split
from sparse_data.datasets import Interactions, fetch_movielens
from sparse_data.datasets.download import find_data_home

DATA = ("accidents", "movielens-1m")
SEEDS = (0, 1, 2, 3, 4)
CONTROL = "as given"
RULES = ("lowest of all", "lowest of each user")
SHARES = (0.1, 0.2, 0.3)
ACCIDENTS = 0.25
TRAINING = {
    "movielens-1m": {"dim": 32, "epochs": 10, "batch_size": 2048},
    "accidents": {"dim": 32, "epochs": 15, "batch_size": 2048},
}
SCORER = {"dim": 8, "regularization": 0.01}
PACKAGES = ("keras", "jax", "numpy")
Mask = NDArray[np.bool_]


class Parts(NamedTuple):
    """A log in three parts; `wrong` are the training rows that should not be there, where that is known."""

    train: Interactions
    valid: Interactions
    test: Interactions
    wrong: Mask
    known: Mask


def load(data: str, seed: int) -> Parts:
    """Return the parts of one of the logs."""
    return _diffrec(seed) if data == "movielens-1m" else _with_accidents(seed)


def _diffrec(seed: int) -> Parts:
    folder = find_data_home() / "movielens-1m-partial" / "diffrec"
    with np.load(folder / "ml-1m_noisy.npz") as noisy, np.load(folder / "ml-1m_clean.npz") as clean:
        parts = [Interactions(*noisy[name].astype(np.int64).T) for name in ("train", "valid", "test")]
        liked = np.concatenate([clean[name] for name in ("train", "valid", "test")]).astype(np.int64)
        # The test parts are one and the same, row by row, under different ids of films.
        clean_id = np.full(int(parts[0].item_ids.max()) + 1, -1)
        clean_id[parts[2].item_ids] = clean["test"][:, 1]
    n_users = int(parts[0].user_ids.max()) + 1
    drawn = np.random.default_rng([seed, 3]).permutation(n_users)[: n_users // 3]
    parts = [part.take(np.isin(part.user_ids, drawn)) for part in parts]
    train, factor = parts[0], 1 << 16
    wrong = ~np.isin(train.user_ids * factor + clean_id[train.item_ids], liked[:, 0] * factor + liked[:, 1])
    return Parts(*parts, wrong, clean_id[train.item_ids] >= 0)


def _with_accidents(seed: int) -> Parts:
    log = fetch_movielens("100k")
    log = log.take(log.ratings >= 4).replace(ratings=None, timestamps=None, users=None, items=None)
    train, valid, test = per_user_split(log, (0.8, 0.1, 0.1), random_state=seed)
    generator = np.random.default_rng([seed, 1])
    train, wrong = _planted(log, train, generator)
    valid, _ = _planted(log, valid, generator)
    return Parts(train, valid, test, wrong, np.ones(len(train), dtype=bool))


def _planted(
    log: Interactions, part: Interactions, generator: np.random.Generator
) -> tuple[Interactions, Mask]:
    """Return a part with random pairs that the log does not hold, and which rows these are."""
    wanted = round(len(part) * ACCIDENTS / (1 - ACCIDENTS))
    users, items = generator.choice(log.user_ids, 4 * wanted), generator.choice(log.item_ids, 4 * wanted)
    factor = int(log.item_ids.max()) + 1
    free = ~np.isin(users * factor + items, log.user_ids * factor + log.item_ids)
    users, items = users[free][:wanted], items[free][:wanted]
    mixed = Interactions(np.append(part.user_ids, users), np.append(part.item_ids, items))
    return mixed, np.arange(len(mixed)) >= len(part)


def confidence(train: Interactions, seed: int) -> tuple[NDArray[np.float64], Mask]:
    """Return how sure the other folds are of each row, and the rows that confident learning finds wrong."""
    own, others = out_of_fold_scores(IALS(**SCORER, random_state=seed), train, random_state=seed)
    scores = np.concatenate([own, others])
    labels = np.repeat([1, 0], len(train))
    judged = np.isfinite(scores)
    model = LogisticRegression().fit(scores[judged, None], labels[judged])
    pred_probs = model.predict_proba(scores[judged, None])
    quality, issues = np.full(len(scores), np.inf), np.zeros(len(scores), dtype=bool)
    quality[judged] = label_quality(labels[judged], pred_probs, score="self_confidence")
    issues[judged] = find_label_issues(labels[judged], pred_probs, method="prune_by_noise_rate")
    return quality[: len(train)], issues[: len(train)]


def lowest(quality: NDArray[np.float64], train: Interactions, rule: str, share: float) -> Mask:
    """Return the rows to drop: a share of all rows, or of the rows of each user."""
    _, users, sizes = np.unique(train.user_ids, return_inverse=True, return_counts=True)
    dropped = np.zeros(len(train), dtype=bool)
    if rule == "lowest of all":
        dropped[np.argsort(quality, kind="stable")[: round(share * len(train))]] = True
        return dropped
    order = np.lexsort((quality, users))
    place = np.arange(len(train)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    dropped[order] = place < np.round(share * np.repeat(sizes, sizes))
    return dropped


def measure(model: Recommender, parts: Parts) -> dict[str, float]:
    """Return recall and NDCG at 20 on both parts; all that is in the given log counts as seen."""
    names = ("user_ids", "item_ids")
    before = {name: np.append(getattr(parts.train, name), getattr(parts.valid, name)) for name in names}
    values = {}
    for part, seen, held_out in (
        ("valid", parts.train, parts.valid),
        ("test", Interactions(**before), parts.test),
    ):
        frame = evaluate_retriever(model, seen, held_out, 20, slices=None, n_bootstrap=0)
        value = frame.set_index("metric")["value"]
        values |= {f"{part}_{metric}": float(value[metric]) for metric in ("recall", "ndcg")}
    return values


def detection(parts: Parts, quality: NDArray[np.float64], dropped: Mask) -> dict[str, float]:
    """Return what is known of the rows dropped: their number, and how many are wrong."""
    rows = parts.known & np.isfinite(quality)
    return {
        "dropped": float(dropped.mean()),
        "wrong_of_dropped": float(parts.wrong[dropped & parts.known].mean()) if dropped.any() else np.nan,
        "auc": float(roc_auc_score(~parts.wrong[rows], quality[rows])),
    }


def choose(data: str, results: ResultsFile, *, fast: bool) -> dict[str, Any]:
    """Measure all rules with EASE and seed 0; return the one with the best recall on validation."""
    parts = load(data, 0)
    quality, issues = confidence(parts.train, 0)
    tried = {(CONTROL, 0.0): np.zeros(len(parts.train), dtype=bool)}
    tried |= {(rule, share): lowest(quality, parts.train, rule, share) for rule in RULES for share in SHARES}
    tried["find_label_issues", 0.0] = issues
    tried["wrong rows removed", 0.0] = parts.wrong
    for (rule, share), dropped in list(tried.items())[: 2 if fast else None]:
        run = {"data": data, "rule": rule, "share": share}
        if not results.holds(run):
            values = measure(EASE().fit(parts.train.take(~dropped)), parts)
            results.append({**run, **values, **detection(parts, quality, dropped), **CIRCUMSTANCES})
    rows = [row for row in results.rows() if row["data"] == data and float(row["share"])]
    return max(rows, key=lambda row: float(row["valid_recall"]))


def run_arms(data: str, seed: int, chosen: dict[str, Any], results: ResultsFile, *, fast: bool) -> None:
    """Train the two-tower retriever on each version of the log of one seed."""
    parts = load(data, seed)
    train = parts.train
    quality, _ = confidence(train, seed)
    dropped = lowest(quality, train, chosen["rule"], float(chosen["share"]))
    none = np.zeros(len(train), dtype=bool)
    random = np.random.default_rng([seed, 2]).permutation(dropped)
    weights = np.where(np.isfinite(quality), quality, 1.0)
    arms = {
        CONTROL: (none, None),
        "improbable rows dropped": (dropped, None),
        "as many dropped at random": (random, None),
        "wrong rows dropped": (parts.wrong, None),
        "improbable rows weigh less": (none, weights / weights.mean()),
    }
    for arm, (left_out, arm_weights) in arms.items():
        run = {"data": data, "arm": arm, "seed": seed}
        if results.holds(run):
            continue
        start = time.process_time()
        settings = {**TRAINING[data], **({"epochs": 1} if fast else {})}
        model = TwoTowerRetriever(**settings, validation_fraction=0.0, seed=seed, verbose=False)
        model.fit(train.replace(weights=arm_weights).take(~left_out))
        values = measure(model, parts)
        seconds = {"seconds": time.process_time() - start}
        results.append({**run, **values, **detection(parts, quality, left_out), **seconds, **CIRCUMSTANCES})
        print(run, {name: round(value, 4) for name, value in (values | seconds).items()}, flush=True)


def summary(results: ResultsFile) -> None:
    """Print each version of the log, and on test the paired difference from the log as given."""
    import pandas as pd
    from scipy import stats

    frame = pd.read_csv(results.path)
    for (data, arm), rows in frame.groupby(["data", "arm"], sort=False):
        cells = [f"{rows.dropped.mean():.3f}", f"{rows.wrong_of_dropped.mean():.3f}"]
        for metric in ("valid_recall", "test_recall", "test_ndcg"):
            own = rows.set_index("seed")[metric]
            given = frame[(frame.data == data) & (frame.arm == CONTROL)].set_index("seed")[metric]
            change = (own - given).dropna()
            cells.append(f"{own.mean():.4f} ± {own.std():.4f}")
            if len(change) > 1 and arm != CONTROL:
                half = stats.t.ppf(0.975, len(change) - 1) * change.sem()
                cells[-1] += f" ({change.mean():+.4f} ± {half:.4f})"
        print(f"| {data} | {arm} | " + " | ".join(cells) + f" | {len(rows)} |")
    print(frame.groupby("data").agg(auc=("auc", "mean"), seconds=("seconds", "mean")).to_string())


def main() -> None:
    """Measure what is not there yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--fast", action="store_true")
    options = parser.parse_args()
    end = "_fast" if options.fast else ""
    tuning = ResultsFile(f"pipeline_clean_log_tuning{end}", ("data", "rule", "share"))
    results = ResultsFile(f"pipeline_clean_log{end}", ("data", "arm", "seed"))
    for data in () if options.summary else options.data[: 1 if options.fast else None]:
        chosen = choose(data, tuning, fast=options.fast)
        print(f"{data}: {chosen['rule']}, {chosen['share']}", flush=True)
        for seed in options.seeds[: 1 if options.fast else None]:
            run_arms(data, seed, chosen, results, fast=options.fast)
    summary(results)


CIRCUMSTANCES = circumstances(*PACKAGES)

if __name__ == "__main__":
    main()
