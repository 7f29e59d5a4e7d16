"""Several recommenders on one split: one table with slices and intervals, one series for the picture."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from recsys_ssl.measures.evaluation import evaluate_retriever
from recsys_ssl.measures.popularity_slices import popularity_deciles
from recsys_ssl.recommenders.recommender import Recommender
from sparse_data.datasets.interactions import Interactions


def compare_retrievers(
    models: Mapping[str, Recommender],
    train: Interactions,
    test: Interactions,
    k: Sequence[int] = (10, 100),
    *,
    metrics: Sequence[str] = ("hit_rate_per_interaction", "recall", "ndcg"),
    n_bootstrap: int = 200,
) -> Any:
    """Measure fitted models on the same held-out pairs, over the full catalogue, seen items removed.

    Parameters
    ----------
    models : mapping of str to Recommender
        Fitted on ``train``.
    train, test : Interactions
    k : sequence of int, default=(10, 100)
        Lengths above the catalogue's size are left out.
    metrics : sequence of str
        Metrics of `evaluate_retriever` to keep.
    n_bootstrap : int, default=200

    Returns
    -------
    pandas.DataFrame
        A row for each metric, k and slice; a column for each model, "value [low, high]".
    """
    pandas = importlib.import_module("pandas")
    columns = {}
    for name, model in models.items():
        lengths = [length for length in k if length <= len(model.item_ids_)]
        frame = evaluate_retriever(model, train, test, k=lengths, n_bootstrap=n_bootstrap)
        frame = frame[frame["metric"].isin(metrics)].set_index(["metric", "k", "slice"])
        columns[name] = [f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}]" for row in frame.itertuples()]
        index = frame.index
    return pandas.DataFrame(columns, index=index)


def recall_by_decile(
    models: Mapping[str, Recommender], train: Interactions, test: Interactions, *, k: int = 100
) -> dict[str, list[float]]:
    """Recall at k in ten groups of items by training frequency, rarest first, for every model.

    Parameters
    ----------
    models : mapping of str to Recommender
    train, test : Interactions
    k : int, default=100

    Returns
    -------
    dict of str to list of ten floats
        NaN where no test interaction falls into the group.
    """
    deciles = popularity_deciles(train.item_ids)
    recalls = {}
    for name, model in models.items():
        frame = evaluate_retriever(model, train, test, k=k, slices=deciles, n_bootstrap=0)
        of_slices = frame[frame["metric"] == "recall"].set_index("slice")["value"]
        recalls[name] = [float(of_slices.get(decile, float("nan"))) for decile in deciles]
    return recalls
