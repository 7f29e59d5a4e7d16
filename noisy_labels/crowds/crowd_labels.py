"""Labels that several workers gave to the same items, in long format: one row a label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparse_data.checks import check_ndim, check_no_missing, check_nonempty, check_numeric, check_same_length


@dataclass(frozen=True, eq=False, repr=False)
class CrowdLabels:
    """Items, workers and labels as codes of their sorted distinct values.

    Attributes
    ----------
    items, workers, classes : arrays of shape (n_items,), (n_workers,) and (n_classes,)
        The distinct values, sorted.
    item_codes, worker_codes, label_codes : int64 arrays of shape (n_labels,)
        Positions in them, in the order of the input.
    """

    items: NDArray[Any]
    workers: NDArray[Any]
    classes: NDArray[Any]
    item_codes: NDArray[np.int64]
    worker_codes: NDArray[np.int64]
    label_codes: NDArray[np.int64]

    def votes(self) -> NDArray[np.float64]:
        """Return how often each item got each class, shape (n_items, n_classes)."""
        shape = (self.items.size, self.classes.size)
        cells = self.item_codes * shape[1] + self.label_codes
        return np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)

    def worker_means(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean over the labels of each worker, shape (n_workers,), of one value a label."""
        values = check_ndim("values", check_numeric("values", values), 1).astype(np.float64)
        check_same_length(values=values, labels=self.worker_codes)
        return np.bincount(self.worker_codes, values) / np.bincount(self.worker_codes)

    def by_item(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the order that sorts the labels by item, and where each item begins in it."""
        order = np.argsort(self.item_codes, kind="stable")
        counts = np.bincount(self.item_codes, minlength=self.items.size)
        return order, np.concatenate([[0], np.cumsum(counts)])


def read_crowd_labels(items: ArrayLike, workers: ArrayLike, labels: ArrayLike) -> CrowdLabels:
    """Encode labels in long format.

    Parameters
    ----------
    items, workers, labels : arrays of shape (n_labels,)
        Numbers, strings or other sortable values.  A worker may label an item more than once; each label
        counts.

    Returns
    -------
    CrowdLabels

    Raises
    ------
    TypeError
        If the values of one array cannot be sorted among themselves.
    ValueError
        If an array is empty, not one-dimensional, of another length, or has missing values.

    Examples
    --------
    >>> crowd = read_crowd_labels(["a", "a", "b"], [7, 9, 7], ["cat", "dog", "cat"])
    >>> crowd.classes.tolist(), crowd.label_codes.tolist()
    (['cat', 'dog'], [0, 1, 0])
    """
    check_same_length(items=items, workers=workers, labels=labels)
    distinct_items, item_codes = _encode("items", items)
    distinct_workers, worker_codes = _encode("workers", workers)
    classes, label_codes = _encode("labels", labels)
    return CrowdLabels(distinct_items, distinct_workers, classes, item_codes, worker_codes, label_codes)


def _encode(name: str, values: ArrayLike) -> tuple[NDArray[Any], NDArray[np.int64]]:
    array = check_no_missing(name, check_nonempty(name, check_ndim(name, values, 1)))
    if array.dtype.kind in "biufmM":
        distinct, codes = np.unique(array, return_inverse=True)
        return distinct, codes.astype(np.int64, copy=False)
    # A table of the distinct values: sorting a million strings takes ten times as long.
    listed = array.tolist()
    try:
        ordered = sorted(set(listed))
    except TypeError as error:
        raise TypeError(
            f"`{name}` must be of values that can be sorted; got {error}. Convert them to one type."
        ) from None
    position = {value: code for code, value in enumerate(ordered)}
    codes = np.fromiter((position[value] for value in listed), dtype=np.int64, count=len(listed))
    first = np.unique(codes, return_index=True)[1]
    return array[first], codes
