"""What networks are trained on: arrays, or data sets that deliver batches, checked and with rows held out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from noisy_labels.two_networks.paired_training import Validation
from noisy_labels.two_networks.row_batches import RowBatches
from sparse_data.checks import check_finite, check_integers, check_ndim, check_same_length


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """Rows to train on and rows held out.

    Attributes
    ----------
    batches : callable
        From batch size and seed to what `keras.Model.fit` reads.
    input_shape : tuple of int
        Of one row.
    n_classes : int
    held_out : Validation or None
    x, codes : arrays with n rows, or None
        The training rows, where they are arrays.
    """

    batches: Callable[[int, int], Any]
    input_shape: tuple[int, ...]
    n_classes: int
    held_out: Validation | None
    x: NDArray[Any] | None = None
    codes: NDArray[np.int64] | None = None

    def in_memory(self) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Return x and codes, or raise ValueError for a data set."""
        if self.x is None or self.codes is None:
            raise ValueError("`X` must be arrays; got a data set. Load the rows into memory.")
        return self.x, self.codes


def is_dataset(X: Any) -> bool:
    """Return whether `X` delivers batches: a `keras.utils.PyDataset` or a `tf.data.Dataset`."""
    return isinstance(X, keras.utils.PyDataset) or hasattr(X, "element_spec")


def rows_of_arrays(
    x: NDArray[Any], codes: NDArray[np.int64], n_classes: int, held_out: Validation | None
) -> LabelledRows:
    """Return rows that lie in memory."""
    return LabelledRows(
        lambda batch_size, seed: RowBatches(x, codes, batch_size=batch_size, seed=seed),
        x.shape[1:],
        n_classes,
        held_out,
        x,
        codes,
    )


def held_out_rows(codes: NDArray[np.int64], fraction: float, seed: int) -> NDArray[np.bool_]:
    """Return which rows are held out: a share of each class, drawn at random.

    Examples
    --------
    >>> held_out_rows(np.array([0, 1] * 10), 0.2, 0).reshape(10, 2).sum(axis=0).tolist()
    [2, 2]
    """
    order = np.random.default_rng(seed).permutation(len(codes))
    order = order[np.argsort(codes[order], kind="stable")]
    levels = np.floor(np.arange(len(codes) + 1) * fraction + 1e-9)
    held_out = np.zeros(len(codes), dtype=bool)
    held_out[order] = np.diff(levels) > 0
    return held_out


def rows_of_dataset(dataset: Any) -> LabelledRows:
    """Return rows that a data set delivers, after one pass in which they are checked.

    Parameters
    ----------
    dataset : keras.utils.PyDataset or tf.data.Dataset
        Finite, of batches ``(x, y)``: float inputs and integer labels from 0.  Shuffling and batch size are
        its own matter.

    Returns
    -------
    LabelledRows

    Raises
    ------
    TypeError, ValueError
        If a batch is of another form, or there are no two classes.
    """
    shapes, highest = set(), -1
    for x, y in checked_batches(dataset):
        shapes.add(x.shape[1:])
        highest = max(highest, int(y.max(initial=-1)))
    if len(shapes) != 1:
        raise ValueError(
            f"`X` must deliver rows of one shape; got {sorted(shapes)}. Resize or pad them, and check that "
            "the data set is not empty."
        )
    if highest < 1:
        raise ValueError("`X` must deliver labels of two classes or more; got one class. Add the others.")
    return LabelledRows(lambda batch_size, seed: dataset, shapes.pop(), highest + 1, None)


def checked_batches(dataset: Any) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield the batches of a data set as arrays, or raise for the first that cannot be trained on."""
    if hasattr(dataset, "cardinality") and int(dataset.cardinality()) == -1:
        raise ValueError("`X` must be finite; got a data set that repeats for ever. Leave out .repeat().")
    known = isinstance(dataset, keras.utils.PyDataset)
    for batch in (dataset[place] for place in range(len(dataset))) if known else dataset:
        if not isinstance(batch, tuple) or len(batch) != 2:
            raise ValueError(
                f"`X` must deliver pairs (x, y); got {type(batch).__name__}. Labels belong in the data set, "
                "weights are not used."
            )
        x, y = (keras.ops.convert_to_numpy(part) for part in batch)
        if x.dtype.kind != "f":
            raise TypeError(f"`X` must deliver floats; got {x.dtype}. Convert and scale the inputs.")
        check_finite("X", x)
        codes = check_integers("labels of X", check_ndim("labels of X", y, 1))
        check_same_length(x=x, labels=codes)
        if codes.min(initial=0) < 0:
            raise ValueError(
                f"labels of `X` must be 0 or more; got {int(codes.min())}. Number the classes from 0."
            )
        yield x, codes
