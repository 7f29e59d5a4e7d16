"""Pictures of training and of where in the catalogue a recommender is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def plot_training(history: Sequence[Mapping[str, float]]) -> Any:
    """Draw the loss and the validation metric of every epoch.

    Parameters
    ----------
    history : sequence of mapping
        One an epoch, as in ``TwoTowerRetriever.history_``.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> figure = plot_training([{"loss": 7.0, "val_ndcg@100": 0.1}, {"loss": 6.0, "val_ndcg@100": 0.2}])
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['training loss', 'val_ndcg@100']
    """
    figure = _figure()
    axes = figure.subplots()
    epochs = range(1, len(history) + 1)
    axes.plot(
        epochs, [epoch["loss"] for epoch in history], color="tab:gray", marker="o", label="training loss"
    )
    axes.set_xlabel("epoch")
    axes.set_ylabel("training loss")
    axes.xaxis.get_major_locator().set_params(integer=True)
    for name in sorted({name for epoch in history for name in epoch if name.startswith("val_")}):
        values = [epoch[name] for epoch in history]
        right = axes.twinx()
        right.plot(epochs, values, color="tab:blue", marker="o", label=name)
        right.axvline(1 + max(range(len(values)), key=values.__getitem__), color="tab:blue", linestyle=":")
        right.set_ylabel(name, color="tab:blue")
    axes.set_title("Training; the dotted line is the epoch that is kept")
    return figure


def plot_recall_by_decile(recalls: Mapping[str, Sequence[float]], *, k: int) -> Any:
    """Draw the recall of several models by how often items occur in training.

    Parameters
    ----------
    recalls : mapping of str to sequence of ten floats
        For every model its recall at ``k`` in the ten groups of `popularity_deciles`, rarest first.
    k : int

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> figure = plot_recall_by_decile({"Popularity": [0.0] * 9 + [0.5]}, k=100)
    >>> figure.axes[0].get_ylabel()
    'recall@100'
    """
    figure = _figure()
    axes = figure.subplots()
    for name, values in recalls.items():
        axes.plot(range(1, len(values) + 1), values, marker="o", label=name)
    axes.set_xticks(range(1, 11))
    axes.set_xlabel("decile of items by training frequency (1 = rarest, 10 = most frequent)")
    axes.set_ylabel(f"recall@{k}")
    axes.set_ylim(bottom=0)
    axes.legend()
    axes.set_title(f"Recall@{k} by popularity of the item")
    return figure


def _figure() -> Any:
    """Make a figure that no global state of pyplot knows of."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("Pictures need matplotlib: pip install 'sparselabels[report]'") from error
    return Figure(figsize=(8, 4.5), layout="constrained")
