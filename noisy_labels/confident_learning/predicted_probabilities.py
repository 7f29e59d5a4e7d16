"""Labels and predicted probabilities as confident learning reads them: checked, in blocks, never copied."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noisy_labels.confident_learning import confident_joint_kernels as kernels
from sparse_data import checks

ROUNDING = 1e-5  # how far from 1 a row's sum lies by rounding in float32
REPAIRABLE = 1e-3  # up to here the row is divided by its sum, beyond it is refused
BLOCK_VALUES = 1 << 20  # probabilities in a block: a few MB, small beside the matrix and large beside a call
_CACHED_VALUES = 1 << 15  # numbers that stay in the cache between the steps of a formula
_SMALL = 1 << 17  # below this many probabilities, starting threads costs more than it saves


class RowSummary(NamedTuple):
    """What one reading keeps of each row: 9 bytes in float32 with up to 256 classes."""

    argmax: NDArray[Any]  # in the smallest type that holds the classes
    largest: NDArray[Any]
    own: NDArray[Any]  # probability of the given label


class RowContest(NamedTuple):
    """The given label of each row against the others: 8 bytes in float32, 12 with the entropy."""

    own: NDArray[Any]
    rival: NDArray[Any]  # largest probability of another label, -1 if there is none
    entropy: NDArray[Any] | None


def read_labels_and_probabilities(
    labels: ArrayLike, pred_probs: ArrayLike, classes: Sequence[Any] | None = None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return class numbers and a matrix of probabilities, after all checks that need no full reading.

    Parameters
    ----------
    labels : array of shape (n,)
        Class numbers, columns of `pred_probs`; or values of `classes`.
    pred_probs : array of shape (n, n_classes)
    classes : sequence of length n_classes, optional
        The label of each column.

    Raises
    ------
    TypeError
        If labels are not integers and no `classes` are given, or probabilities are not real numbers.
    ValueError
        If shapes disagree, the input is empty, a label is unknown or a mapped file is shorter than its array.
    """
    # A subclass such as memmap would be a type of its own to the compiled loops.
    probabilities = checks.check_ndim(
        "pred_probs", pred_probs, 2, "Pass one row an example, one column a class."
    )
    probabilities = checks.check_numeric("pred_probs", probabilities, "Convert it to float32 or float64.")
    checks.check_nonempty("pred_probs", probabilities)
    given = checks.check_ndim("labels", labels, 1, "Pass one label an example.")
    checks.check_same_length(labels=given, pred_probs=probabilities)
    check_file_is_whole(pred_probs)
    return encode_labels(given, probabilities.shape[1], classes), probabilities


def encode_labels(labels: NDArray[Any], n_classes: int, classes: Sequence[Any] | None = None) -> NDArray[Any]:
    """Return labels as class numbers: checked as they are, or looked up in `classes`."""
    if classes is None:
        hint = "Encode the labels as columns of `pred_probs`, or pass `classes`."
        return checks.check_ids_in_range("labels", labels, n_classes, hint)
    names = checks.check_ndim("classes", np.asarray(classes), 1)
    if len(names) != n_classes or len(np.unique(names)) != n_classes:
        raise ValueError(
            f"`classes` must be {n_classes} different labels; got {len(names)} values. Name each column once."
        )
    order = np.argsort(names)
    position = np.minimum(np.searchsorted(names[order], labels), n_classes - 1)
    unknown = names[order[position]] != labels
    if unknown.any():
        first = int(unknown.argmax())
        raise ValueError(
            f"`labels` must be among `classes`; got {labels[first]!r} at position {first}. Add it or drop "
            "the row."
        )
    return order[position]


def check_file_is_whole(array: object) -> None:
    """Raise if the file behind a memory map is shorter than the map: reading it would kill the process."""
    if isinstance(array, np.memmap) and array.filename is not None:
        size, needed = os.path.getsize(array.filename), array.offset + array.nbytes
        if size < needed:
            raise ValueError(
                f"`pred_probs` must be a whole file; got {size} of at least {needed} bytes in "
                f"{array.filename}. Write the file again."
            )


def summarize_rows(labels: NDArray[Any], pred_probs: NDArray[Any]) -> tuple[NDArray[Any], RowSummary]:
    """Read the matrix once; return it, renormalised if it had to be, and the summary of its rows.

    Raises
    ------
    ValueError
        If a row holds NaN, infinity or a negative number, or its sum is further than .001 from 1.

    Warns
    -----
    UserWarning
        If the sum of a row is further from 1 than by rounding; then a renormalised copy is made.
    """
    dtype, n_rows = _real_type(pred_probs), len(labels)
    argmax = np.empty(n_rows, dtype=_class_type(pred_probs.shape[1]))
    largest, own = np.empty(n_rows, dtype=dtype), np.empty(n_rows, dtype=dtype)
    if _need_repair(labels, pred_probs, kernels.summarize_block, argmax, largest, own):
        warn_of_repair()
        return summarize_rows(labels, _renormalized(pred_probs))
    return pred_probs, RowSummary(argmax, largest, own)


def contest_rows(
    labels: NDArray[Any], pred_probs: NDArray[Any], *, entropy: bool = False
) -> tuple[NDArray[Any], RowContest]:
    """Read the matrix once, as `summarize_rows` does; return it and the contest of its rows."""
    dtype, n_rows = _real_type(pred_probs), len(labels)
    outputs = [np.empty(n_rows, dtype=dtype) for _ in range(3 if entropy else 2)]
    if _need_repair(labels, pred_probs, _contest_block, *outputs):
        warn_of_repair()
        return contest_rows(labels, _renormalized(pred_probs), entropy=entropy)
    return pred_probs, RowContest(outputs[0], outputs[1], outputs[2] if entropy else None)


def _need_repair(
    labels: NDArray[Any], pred_probs: NDArray[Any], kernel: Callable[..., Any], *outputs: NDArray[Any]
) -> bool:
    """Fill outputs, one value a row, by a kernel that checks; return whether sums are off beyond rounding."""

    def read(start: int, stop: int) -> float:
        worst = 0.0
        for first, last, block in blocks(pred_probs, start, stop):
            part = slice(first, last)
            bits = block.view(np.int32 if block.dtype == np.float32 else np.int64)
            given = labels[part].astype(np.int64, copy=False)
            answer = kernel(block, bits, given, *(output[part] for output in outputs))
            worst = max(worst, refuse_invalid(block, first, *answer))
        return worst

    return bool(max(over_threads(read, len(labels), pred_probs.size)) > ROUNDING)


def _contest_block(
    block: NDArray[Any],
    bits: NDArray[Any],
    labels: NDArray[np.int64],
    own: NDArray[Any],
    rival: NDArray[Any],
    entropy: NDArray[Any] | None = None,
) -> tuple[int, float]:
    answer: tuple[int, float] = kernels.rival_block(block, bits, labels, own, rival)
    if entropy is None or answer[0] >= 0:
        return answer
    if block.dtype == np.float32:
        kernels.entropy_block(block, bits, entropy)
        return answer
    step = max(1, _CACHED_VALUES // block.shape[1])
    for start in range(0, len(block), step):
        part = block[start : start + step]
        # The smallest normal number instead of 0: its logarithm is finite, and nothing is added.
        logs = np.maximum(part, np.finfo(part.dtype).tiny)
        np.log(logs, out=logs)
        entropy[start : start + step] = -np.einsum("ij,ij->i", part, logs)
    return answer


def refuse_invalid(block: NDArray[Any], first_row: int, at_fault: int, worst: float) -> float:
    """Return the worst distance of a sum from 1, if no row is invalid, else raise."""
    if at_fault >= 0:
        raise ValueError(
            f"`pred_probs` must be finite and non-negative; got {block[at_fault].min()} in row "
            f"{first_row + at_fault}. Check the model's output of that row."
        )
    if worst > REPAIRABLE:
        distance = np.abs(block.sum(axis=1, dtype=np.float64) - 1)
        row = int(distance.argmax())
        raise ValueError(
            f"`pred_probs` must be rows that sum to 1; got a sum of {block[row].sum():.6g} in row "
            f"{first_row + row}. Pass probabilities (apply softmax to logits)."
        )
    return worst


def renormalized(block: NDArray[Any]) -> NDArray[Any]:
    """Return the rows of a block divided by their sums."""
    rows: NDArray[Any] = block / block.sum(axis=1, dtype=np.float64, keepdims=True).astype(block.dtype)
    return rows


def warn_of_repair() -> None:
    """Warn that rows do not sum to 1 but nearly so."""
    warnings.warn(
        "`pred_probs` has rows whose sum differs from 1 by up to .001: they are divided by their sums.",
        stacklevel=4,
    )


def blocks(pred_probs: NDArray[Any], start: int, stop: int) -> Iterator[tuple[int, int, NDArray[Any]]]:
    """Yield (first row, last row + 1, rows in C order as float32 or float64), copied only if need be."""
    dtype = _real_type(pred_probs)
    rows = max(1, BLOCK_VALUES // pred_probs.shape[1])
    for first in range(start, stop, rows):
        last = min(first + rows, stop)
        yield first, last, np.ascontiguousarray(pred_probs[first:last], dtype=dtype)


def over_threads(work: Callable[[int, int], Any], n_rows: int, size: int) -> list[Any]:
    """Run `work` on ranges of rows, in threads where that is worth it; return its answers in order."""
    n_threads = 1 if size < _SMALL else min(kernels.N_THREADS, n_rows)
    if n_threads == 1:
        return [work(0, n_rows)]
    bounds = [n_rows * part // n_threads for part in range(n_threads + 1)]
    with ThreadPoolExecutor(n_threads) as pool:
        return list(pool.map(work, bounds[:-1], bounds[1:]))


def _real_type(pred_probs: NDArray[Any]) -> type[np.float32] | type[np.float64]:
    return np.float32 if pred_probs.dtype == np.float32 else np.float64


def _class_type(n_classes: int) -> type[np.uint8] | type[np.uint16] | type[np.int32]:
    return np.uint8 if n_classes <= 1 << 8 else np.uint16 if n_classes <= 1 << 16 else np.int32


def _renormalized(pred_probs: NDArray[Any]) -> NDArray[Any]:
    copy: NDArray[Any] = np.empty(pred_probs.shape, dtype=_real_type(pred_probs))
    for first, last, block in blocks(pred_probs, 0, len(copy)):
        copy[first:last] = renormalized(block)
    return copy
