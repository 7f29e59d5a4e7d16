"""Near neighbours among the rows of near cells: a search whose time grows as n to the power of 1.5."""

from __future__ import annotations

from itertools import pairwise

import numba
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from noisy_labels.proportions.threads import in_threads

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Ints = NDArray[np.int64]

_PROBES = 16  # cells that are looked into, at least
_TURNS = 4  # of k-means, on this many rows a cell
_DRAWN = 32
_LARGEST = 4  # times the mean size: larger cells, of equal rows as a rule, are cut
_BLOCK = 256  # rows whose distances are held at a time
_SHARE = 16_384  # rows that a thread measures at a time

_kernel = numba.njit(cache=True, nogil=True)


def nearest_in_cells(points: Floats, k: int) -> Ints:
    r"""Return for each row k near ones, nearest first: the nearest of those in the cells next to its own.

    K-means lays :math:`2 \sqrt n` cells; 16 of them are looked into, or as many as hold k others.  Where rows
    lie in clusters or on a surface, some 98 of 100 are among the k nearest.  Of rows that fill many
    dimensions evenly, which have no neighbours to speak of, a fifth are, and the others are as near within a
    tenth.

    Parameters
    ----------
    points : float array of shape (n_rows, n_features)
        At least k + 1 rows.
    k : int

    Returns
    -------
    int64 array of shape (n_rows, k)

    References
    ----------
    Jégou, Douze and Schmid, "Product Quantization for Nearest Neighbor Search", 2011: the inverted file.

    Examples
    --------
    >>> nearest_in_cells(np.array([[0.0], [1.0], [5.0], [5.5]]), 1).ravel()
    array([1, 0, 3, 2])
    """
    rows = np.empty(points.shape, dtype=np.float32)
    np.subtract(points, points.mean(axis=0), out=rows, casting="same_kind")
    # Rows are shared out over threads; those of BLAS below them would only get in the way.
    with threadpool_limits(1):
        return _search(rows, *_members(rows, _cells(rows)), k)


def _search(rows: Singles, order: Ints, offsets: Ints, centres: Singles, k: int) -> Ints:
    """Return the k nearest in the cells next to each row's own."""
    squares = 0.5 * np.einsum("ij,ij->i", rows, rows)
    distances = 0.5 * np.einsum("ij,ij->i", centres, centres) - centres @ centres.T
    found = np.empty((rows.shape[0], k), dtype=np.int64)

    def search(cell: int) -> None:
        own = order[offsets[cell] : offsets[cell + 1]]
        near = _near_cells(distances[cell], np.diff(offsets), k + 1)
        others = np.concatenate([order[offsets[c] : offsets[c + 1]] for c in near])
        columns, halves = rows[others].T, squares[others]
        for start in range(0, own.size, _BLOCK):
            part = own[start : start + _BLOCK]
            found[part] = _smallest(rows[part] @ columns, halves, part, others, k)

    in_threads(search, range(centres.shape[0]))
    return found


def _cells(rows: Singles) -> Singles:
    """Return the centres of cells by k-means on some of the rows."""
    rng = np.random.default_rng(0)
    n = rows.shape[0]
    n_cells = max(1, round(2 * n**0.5))
    drawn = rows[rng.permutation(n)[: _DRAWN * n_cells]]
    centres = drawn[:n_cells].copy()
    for _ in range(_TURNS):
        cell = _nearest_centre(drawn, centres)
        order = np.argsort(cell, kind="stable")
        filled, begin, size = np.unique(cell[order], return_index=True, return_counts=True)
        centres[filled] = np.add.reduceat(drawn[order], begin, axis=0) / size[:, None].astype(np.float32)
    return centres


def _nearest_centre(rows: Singles, centres: Singles) -> Ints:
    squares = 0.5 * np.einsum("ij,ij->i", centres, centres)
    blocks = np.array_split(rows, -(-rows.shape[0] // 1024))
    return np.concatenate(in_threads(lambda block: (squares - block @ centres.T).argmin(axis=1), blocks))


def _members(rows: Singles, centres: Singles) -> tuple[Ints, Ints, Singles]:
    """Return row numbers cell by cell, where each begins, and centres; large cells are cut into several."""
    cell = _nearest_centre(rows, centres)
    sizes = np.bincount(cell, minlength=len(centres))
    largest = _LARGEST * -(-rows.shape[0] // len(centres))
    parts = -(-sizes // largest)
    begin = np.cumsum(sizes) - sizes
    number = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
    starts = np.repeat(begin, parts) + number * np.repeat(sizes, parts) // np.repeat(parts, parts)
    order = np.argsort(cell, kind="stable").astype(np.int64)
    return order, np.append(starts, rows.shape[0]), np.repeat(centres, parts, axis=0)


def _near_cells(distances: Singles, sizes: Ints, least: int) -> Ints:
    """Return the nearest cells, so many that they hold `least` rows."""
    probes = min(_PROBES, distances.size)
    near = np.argpartition(distances, probes - 1)[:probes]
    if sizes[near].sum() >= least:
        return near
    near = np.argsort(distances, kind="stable")
    return near[: np.searchsorted(np.cumsum(sizes[near]), least) + 1]


@_kernel  # type: ignore[misc]
def _smallest(products, squares, own, others, k):  # type: ignore[no-untyped-def]
    """Return for each row of `products` the k of `others` with the least square minus product, itself not."""
    found = np.empty((own.size, k), np.int64)
    kept = np.empty(k, products.dtype)
    for i in range(own.size):
        n, bound = 0, np.inf
        for j in range(others.size):
            value = squares[j] - products[i, j]
            if value < bound and others[j] != own[i]:
                place = min(n, k - 1)
                while place > 0 and kept[place - 1] > value:
                    kept[place], found[i, place] = kept[place - 1], found[i, place - 1]
                    place -= 1
                kept[place], found[i, place] = value, others[j]
                n = min(n + 1, k)
                if n == k:
                    bound = kept[k - 1]
    return found


def row_distances(rows: Floats, neighbour: Ints) -> Floats:
    """Return the distances of rows to others of given numbers, shape (n_rows, k)."""
    found = np.empty(neighbour.shape)
    bounds = np.linspace(0, len(neighbour), 2 + len(neighbour) // _SHARE).astype(np.int64).tolist()
    in_threads(lambda ends: _distances(*ends, rows, neighbour, found), pairwise(bounds))
    return found


@_kernel  # type: ignore[misc]
def _distances(start, stop, rows, neighbour, found):  # type: ignore[no-untyped-def]
    """Write the distances of a range of rows to their neighbours."""
    for i in range(start, stop):
        for j in range(neighbour.shape[1]):
            other, square = neighbour[i, j], 0.0
            for column in range(rows.shape[1]):
                square += (rows[i, column] - rows[other, column]) ** 2
            found[i, j] = np.sqrt(square)
