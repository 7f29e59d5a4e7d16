"""Would another model win if the test labels were right? Accuracy of models as wrong labels become more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparse_data.checks import check_finite, check_ndim, check_no_missing, check_nonempty, check_same_length
from sparse_data.type_checks import check_type, naming


@dataclass(frozen=True, eq=False, repr=False)
class BenchmarkStability:
    """What `benchmark_stability` found.

    Attributes
    ----------
    names : tuple of str
        Of the models.
    prevalence : float
        Share of the test labels that were corrected.
    prevalences : float array of shape (n_prevalences,)
    given, corrected : float array of shape (n_models, n_prevalences)
        Accuracy against the given and the corrected labels at each prevalence.
    flips : list of (str, str, float)
        Pairs of models whose order by the given labels differs from that by the corrected ones, and the
        smallest prevalence, at or above that of the test set, at which it does.
    """

    names: tuple[str, ...]
    prevalence: float
    prevalences: NDArray[np.float64]
    given: NDArray[np.float64]
    corrected: NDArray[np.float64]
    flips: list[tuple[str, str, float]]


def benchmark_stability(
    predictions: Mapping[str, ArrayLike],
    labels: ArrayLike,
    corrected: ArrayLike,
    *,
    prevalences: ArrayLike | None = None,
) -> BenchmarkStability:
    r"""Compare models on a test set of which ever more rightly labelled rows are taken away.

    With W the rows whose label was corrected, at a prevalence N of such rows the expected accuracy is

    .. math:: A(N) = N \, A_W + (1 - N) \, A_{\overline W}

    against the given labels and against the corrected ones, which differ in :math:`A_W` alone.  A model that
    has learned the errors of the training labels may win by the former and lose by the latter.

    Parameters
    ----------
    predictions : mapping of str to array of shape (n,)
        Predicted labels of each model.
    labels, corrected : arrays of shape (n,)
        Test labels as given and as corrected; leave out rows whose right label is unknown.
    prevalences : float array, optional
        In [prevalence of the test set, 1]; by default 101 steps of that.

    Returns
    -------
    BenchmarkStability

    Raises
    ------
    ValueError
        If lengths differ, values are missing, no label or every label was corrected, there is no model, or a
        prevalence lies below that of the test set.

    References
    ----------
    Northcutt, Athalye, Mueller (2021), "Pervasive label errors in test sets destabilize machine learning
    benchmarks", arXiv:2103.14749, section 5.

    Examples
    --------
    >>> large, small = [0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 0, 1]
    >>> found = benchmark_stability({"large": large, "small": small}, [0, 0, 0, 1, 1, 0], [0, 0, 0, 1, 0, 1])
    >>> [(first, second, round(prevalence, 2)) for first, second, prevalence in found.flips]
    [('large', 'small', 0.33)]
    """
    if not check_type("predictions", predictions, Mapping, "Pass labels by the names of models."):
        raise ValueError("`predictions` must hold at least one model; got none. Pass one entry a model.")
    given = check_no_missing("labels", check_nonempty("labels", check_ndim("labels", labels, 1)))
    right = check_no_missing("corrected", check_ndim("corrected", corrected, 1))
    check_same_length(labels=given, corrected=right)
    with naming("corrected", "labels like those in `labels`"):
        wrong = given != right
    if wrong.all() or not wrong.any():
        raise ValueError(
            f"`corrected` must differ from `labels` in some rows and agree in others; got {wrong.sum()} of "
            f"{len(wrong)} that differ. Pass the labels after the errors were put right."
        )
    prevalence = float(wrong.mean())
    grid = _grid(prevalences, prevalence)
    accuracies = np.array([_accuracies(name, predictions[name], given, right, wrong) for name in predictions])
    on_given, on_corrected, on_rest = accuracies.T[:, :, None]
    names = tuple(predictions)
    return BenchmarkStability(
        names=names,
        prevalence=prevalence,
        prevalences=grid,
        given=grid * on_given + (1 - grid) * on_rest,
        corrected=grid * on_corrected + (1 - grid) * on_rest,
        flips=_flips(names, accuracies, prevalence),
    )


def _grid(prevalences: ArrayLike | None, lowest: float) -> NDArray[np.float64]:
    if prevalences is None:
        return np.linspace(lowest, 1, 101)
    grid = check_finite(
        "prevalences", check_nonempty("prevalences", check_ndim("prevalences", prevalences, 1))
    )
    if grid.min() < lowest - 1e-12 or grid.max() > 1:
        raise ValueError(
            f"`prevalences` must be in [{lowest:.6g}, 1]; got {grid.min():.6g} to {grid.max():.6g}. Taking "
            "right rows away cannot make wrong ones fewer."
        )
    return grid.astype(np.float64)


def _accuracies(
    name: str, predicted: ArrayLike, given: NDArray[Any], right: NDArray[Any], wrong: NDArray[np.bool_]
) -> tuple[float, float, float]:
    """Return the accuracy on corrected rows against both labels, and on the other rows."""
    name = str(name)
    guesses = check_ndim(name, predicted, 1)
    check_same_length(**{"labels": given, name: guesses})
    with naming(name, "labels like those in `labels`"):
        as_given, as_corrected = guesses == given, guesses == right
    return (
        float(as_given[wrong].mean()),
        float(as_corrected[wrong].mean()),
        float(as_given[~wrong].mean()),
    )


def _flips(
    names: tuple[str, ...], accuracies: NDArray[np.float64], lowest: float
) -> list[tuple[str, str, float]]:
    """Return pairs ordered differently by given and corrected labels, and from which prevalence on."""
    found = []
    for first, second in combinations(range(len(names)), 2):
        on_given, on_corrected, on_rest = accuracies[first] - accuracies[second]
        if on_rest == 0:
            crossings = [0.0, np.inf if on_given * on_corrected < 0 else 0.0]
        else:
            # Both orders start as on the rows that are right; each turns where its line crosses zero.
            crossings = sorted(_crossing(on_rest, end) for end in (on_given, on_corrected))
        start = max(lowest, crossings[0])
        if start < min(crossings[1], 1.0):
            found.append((names[first], names[second], float(start)))
    return sorted(found, key=lambda flip: flip[2])


def _crossing(on_rest: float, end: float) -> float:
    return on_rest / (on_rest - end) if on_rest * end < 0 else np.inf
