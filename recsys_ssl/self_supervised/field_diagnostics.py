"""Mutual information between the fields of items: what masking one field leaves to be read off another."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_ssl.encoding.features import MISSING
from recsys_ssl.self_supervised.shared_information import (
    Field,
    as_bags,
    chance_information,
    draws_of,
    entropy_of,
    marginal,
    pair_information,
)
from sparse_data import Bags, checks
from sparse_data.type_checks import check_type

N_BINS = 10
# A field that tells an item apart up to 5 % of what that takes is as good as an id.
IDENTIFIER_SHARE = 0.95
# What a yes-or-no field carries when one item in a hundred differs, in nats: below, nothing is masked.
LEAST_INFORMATION = 0.05
FEWEST_FIELDS = 3


@dataclass(frozen=True, eq=False)
class FieldInformation:
    r"""How much the fields of items say about each other and about the item; see :func:`field_information`.

    Attributes
    ----------
    names : tuple of str
        The *k* fields.
    matrix : ndarray of shape (k, k)
        Mutual information in nats; the entropies on the diagonal.
    normalized : ndarray of shape (k, k)
        :math:`MI / \sqrt{H_i H_j}`, 0 where an entropy is 0. The entropies are those over the items of the
        pair, so that it is at most 1 also where values are missing.
    adjusted : ndarray of shape (k, k)
        :math:`(MI - E) / (\sqrt{H_i H_j} - E)`, at least 0, with *E* the mutual information when the items of
        one field are shuffled; 1 on the diagonal. What two fields of many values share by chance alone, and
        what every field shares with an id, is 0 here: rank the fields by this one.
    entropies : ndarray of shape (k,)
        In nats, over the items that have a value.
    item_information : ndarray of shape (k,)
        What one value drawn from an item says about which item it is: the entropy less that within an item.
        Of a field with one value an item it is the entropy.
    coverage : ndarray of shape (k,)
        Share of items that have a value.
    identifiers : tuple of str
        Fields that tell items apart by themselves, such as the id: `item_information` is at least 95 % of
        the log of the number of items with a value. Numbers are never among them.
    informative : tuple of str
        Other fields whose `item_information`, times `coverage`, is at least 0.05 nats: what a yes-or-no field
        carries of which one item in a hundred differs.
    n_items : int
    """

    names: tuple[str, ...]
    matrix: NDArray[np.float64]
    normalized: NDArray[np.float64]
    adjusted: NDArray[np.float64]
    entropies: NDArray[np.float64]
    item_information: NDArray[np.float64]
    coverage: NDArray[np.float64]
    identifiers: tuple[str, ...]
    informative: tuple[str, ...]
    n_items: int

    def values_of(self, kind: str) -> NDArray[np.float64]:
        """Return one of the matrices: "nats", "normalized" or "adjusted"."""
        checks.check_one_of("kind", kind, ("nats", "normalized", "adjusted"))
        return {"nats": self.matrix, "normalized": self.normalized, "adjusted": self.adjusted}[kind]

    def to_frame(self, kind: str = "nats") -> Any:
        """Return one of the matrices as a pandas DataFrame, a row and a column a field.

        Parameters
        ----------
        kind : {"nats", "normalized", "adjusted"}, default="nats"

        Returns
        -------
        pandas.DataFrame
        """
        import pandas as pd

        return pd.DataFrame(self.values_of(kind), index=list(self.names), columns=list(self.names))

    def __str__(self) -> str:
        width = max(8, *(len(name) for name in self.names)) if self.names else 8
        lines = [f"Mutual information in nats over {self.n_items} items (diagonal: entropy)"]
        lines.append(" ".join(["".ljust(width), *(name.rjust(8) for name in self.names)]))
        for name, row in zip(self.names, self.matrix, strict=True):
            # A column is as wide as its heading.
            cells = (
                f"{value:.3f}".rjust(max(8, len(head))) for value, head in zip(row, self.names, strict=True)
            )
            lines.append(" ".join([name.ljust(width), *cells]))
        lines.append(f"identifiers: {', '.join(self.identifiers) or 'none'}")
        lines.append(f"informative: {', '.join(self.informative) or 'none'}")
        return "\n".join(lines)

    def warn_if_too_few(self) -> None:
        """Warn if there are fewer than three informative fields: masking then has little to hide.

        Warns
        -----
        UserWarning
        """
        if len(self.informative) >= FEWEST_FIELDS:
            return
        named = ", ".join(self.informative) or "none"
        warnings.warn(
            f"Items have {len(self.informative)} informative field(s) beside identifiers ({named}); masking "
            f"needs at least {FEWEST_FIELDS} to learn from. Add features of items, "
            "or use masking='none' with loss='spread_out', or a smaller weight, and expect little.",
            UserWarning,
            stacklevel=2,
        )

    def plot(self, target: Any = None, *, kind: str = "adjusted") -> Any:
        """Draw the matrix with its numbers.

        Parameters
        ----------
        target : path or matplotlib axes, optional
            Where the picture is saved, or the axes in which it is drawn.
        kind : {"adjusted", "normalized", "nats"}, default="adjusted"

        Returns
        -------
        matplotlib.figure.Figure
        """
        from recsys_ssl.self_supervised.field_plot import plot_field_information

        on_axes = hasattr(target, "imshow")
        figure = plot_field_information(self, ax=target if on_axes else None, kind=kind)
        if target is not None and not on_axes:
            figure.savefig(target)
        return figure


def field_information(
    features: Mapping[str, Field],
    specification: Sequence[Mapping[str, Any]] | None = None,
    *,
    n_bins: int = N_BINS,
    random_state: int = 0,
) -> FieldInformation:
    """Measure what the fields of items say about each other, every item counting once.

    Parameters
    ----------
    features : mapping of str to array or Bags
        One row an item, as made by :meth:`FeatureEncoder.transform`: categories (n,) and padded values
        (n, length) with 0 for missing, numbers (n, width + 1) with a flag of missing ones last. Bags, and
        numbers of shape (n,) with NaN for missing, are taken too.
    specification : sequence of dict, optional
        Names and kinds as made by :meth:`FeatureEncoder.specification`; by default all features, the kinds
        found from type and shape.
    n_bins : int, default=10
        Numbers are cut into this many bins of equal count, vectors by their first principal component.
    random_state : int, default=0
        Of the shuffled items that `adjusted` compares with.

    Returns
    -------
    FieldInformation

    Raises
    ------
    ValueError
        If a field of the specification is absent, or lengths differ.

    Examples
    --------
    >>> import numpy as np
    >>> brand, new = np.array([3, 3, 4, 4, 5, 5]), np.array([3, 3, 3, 4, 4, 4])
    >>> items = {"id": np.arange(3, 9), "brand": brand, "new": new}
    >>> found = field_information(items)
    >>> found.identifiers, found.informative
    (('id',), ('brand', 'new'))
    >>> found.matrix.round(3)
    array([[1.792, 1.099, 0.693],
           [1.099, 1.099, 0.462],
           [0.693, 0.462, 0.693]])
    """
    checks.check_count("n_bins", n_bins, minimum=2)
    kinds = _kinds(features, specification)
    names = tuple(kinds)
    draws = [draws_of(_encoded_bags(name, features[name], kinds[name], n_bins), name=name) for name in names]
    checks.check_same_length(**{name: range(each.shape[0]) for name, each in zip(names, draws, strict=True)})
    k, n_items = len(names), draws[0].shape[0] if draws else 0
    counts = np.array([int((np.diff(each.indptr) > 0).sum()) for each in draws], dtype=np.int64)
    matrix, normalized, adjusted = (np.zeros((k, k)) for _ in range(3))
    about = np.zeros(k)
    for i in range(k):
        matrix[i, i] = entropy_of(marginal(draws[i], max(1, counts[i])))
        normalized[i, i] = adjusted[i, i] = float(matrix[i, i] > 0)
        about[i] = max(0.0, matrix[i, i] - entropy_of(draws[i].data) / max(1, counts[i]))
        for j in range(i):
            shared, one, other = pair_information(draws[i], draws[j])
            matrix[i, j] = matrix[j, i] = shared
            chance = chance_information(draws[i], draws[j], random_state)
            normalized[i, j] = normalized[j, i] = _share(shared, 0.0, np.sqrt(one * other))
            adjusted[i, j] = adjusted[j, i] = _share(shared, chance, np.sqrt(one * other))
    coverage = counts / max(1, n_items)
    alike = (about >= IDENTIFIER_SHARE * np.log(np.maximum(counts, 1))) & (counts > 1)
    is_id = [kinds[name] != "dense" and bool(flag) for name, flag in zip(names, alike, strict=True)]
    enough = about * coverage >= LEAST_INFORMATION
    return FieldInformation(
        names,
        matrix,
        normalized,
        adjusted,
        np.diag(matrix).copy(),
        about,
        coverage,
        tuple(name for name, flag in zip(names, is_id, strict=True) if flag),
        tuple(name for name, flag, much in zip(names, is_id, enough, strict=True) if much and not flag),
        n_items,
    )


def _share(shared: float, chance: float, most: float) -> float:
    """Return how far what is shared lies between chance and the most that can be."""
    # The most may be chance itself, but for rounding: then nothing can be told.
    return min(1.0, max(0.0, shared - chance) / (most - chance)) if most - chance > 1e-9 else 0.0


def _kinds(
    features: Mapping[str, Field], specification: Sequence[Mapping[str, Any]] | None
) -> dict[str, str]:
    check_type("features", features, Mapping, "Pass arrays by name.")
    if not all(isinstance(name, str) for name in features):
        raise TypeError(f"`features` must have text for names; got {list(features)}. Rename them.")
    if specification is None:
        return {name: _kind(values) for name, values in features.items()}
    for entry in check_type("specification", specification, (list, tuple), "Pass a list of dicts."):
        if "name" not in check_type("specification", entry, Mapping, "Pass a list of dicts."):
            raise ValueError(f"`specification` must name each field; got {dict(entry)}. Add its name.")
    absent = [entry["name"] for entry in specification if entry["name"] not in features]
    if absent:
        raise ValueError(
            f"`features` must hold every field of the specification; got none for {absent}. "
            "Pass what the encoder of the same specification returned."
        )
    kinds = ("category", "multi", "dense")
    return {entry["name"]: checks.check_one_of("kind", entry["kind"], kinds) for entry in specification}


def _kind(values: Field) -> str:
    if isinstance(values, Bags):
        return "multi"
    array = checks.check_array("features", values)
    return "dense" if array.dtype.kind == "f" else "multi" if array.ndim == 2 else "category"


def _encoded_bags(name: str, values: Field, kind: str, n_bins: int) -> Bags:
    """Return the values of an encoded field, an empty bag where one is missing."""
    if kind == "dense":
        values = _bins(_numbers(name, values), n_bins)
    elif not isinstance(values, Bags):
        values = checks.check_integers(name, values)
    if isinstance(values, Bags):
        return values
    array = np.asarray(values)
    return as_bags(name, array[:, None] if array.ndim == 1 else array)


def _numbers(name: str, values: Any) -> NDArray[np.float64]:
    """Return one number an item, or several and whether they are missing, or raise."""
    numbers = checks.check_numeric(name, values).astype(np.float64)
    if numbers.ndim not in (1, 2) or (numbers.ndim == 2 and numbers.shape[1] < 2):
        raise ValueError(
            f"`{name}` must be a number an item, or numbers and a mark of missing ones; got shape "
            f"{numbers.shape}. Encode it with FeatureEncoder."
        )
    checks.check_moderate(name, numbers[~np.isnan(numbers)])
    return numbers


def _bins(values: NDArray[np.float64], n_bins: int) -> NDArray[np.int64]:
    """Return the bins of equal count, numbered from 1; 0 is a missing number."""
    if values.ndim == 1:
        known, numbers = ~np.isnan(values), values
    else:
        known = (values[:, -1] == 0) & ~np.isnan(values).any(axis=1)
        numbers = values[:, 0] if values.shape[1] == 2 else _first_component(values[:, :-1], known)
    bins = np.full(len(values), MISSING, dtype=np.int64)
    if not known.any():
        return bins
    values = np.sort(numbers[known])
    edges = np.unique(np.quantile(values, np.linspace(0, 1, n_bins + 1)[1:-1]))
    # A number at an edge that is there more than once gets a bin to itself, apart from those above.
    often = np.searchsorted(values, edges, "right") - np.searchsorted(values, edges, "left") > 1
    edges = np.sort(np.concatenate([edges, np.nextafter(edges[often], np.inf)]))
    bins[known] = np.searchsorted(edges, numbers[known], "right") + 1
    return bins


def _first_component(values: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    rows = values[known]
    centred = rows - rows.mean(axis=0) if len(rows) else rows
    direction = np.linalg.eigh(centred.T @ centred)[1][:, -1:]
    scores = np.zeros(len(values))
    scores[known] = (centred @ direction).ravel()
    return scores
