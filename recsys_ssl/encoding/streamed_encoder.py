"""Learn a FeatureEncoder from data that are never in memory as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_ssl.encoding.feature_columns import category_values, column_of, dense_values
from recsys_ssl.encoding.feature_encoder import FeatureEncoder
from recsys_ssl.encoding.features import Dense, Feature, to_json
from sparse_data import Bags
from sparse_data.checks import check_count
from sparse_data.datasets.columns import to_columns
from sparse_data.datasets.impressions import Impressions
from sparse_data.type_checks import naming

_SMALL = 1 << 16  # values that may wait to be merged


def learn_encoder(
    features: Sequence[Feature], chunks: Iterable[Impressions | Any], *, min_count: int = 1
) -> FeatureEncoder:
    """Learn vocabularies and moments from chunks of a log, holding one chunk at a time.

    Parameters
    ----------
    features : sequence of Category, MultiCategory or Dense
    chunks : iterable of Impressions, tables or mappings of columns
        Such as `ImpressionFiles` or `AliCCP`, or ``[impressions]``.
    min_count : int, default=1
        Values that occur less often in all chunks together are left to the OOV row. What a value occurs in a
        bag several times counts several times. Work on Ali-CCP keeps what occurs more than 10 times: 11.

    Returns
    -------
    FeatureEncoder
        With `min_count` 1 that of `FeatureEncoder.fit` on all rows, moments up to rounding.

    Raises
    ------
    ValueError
        If there is no chunk, a declared column is absent or of another kind, or changes its kind.

    Examples
    --------
    >>> from recsys_ssl import Category
    >>> chunks = [{"sex": ["M", "F", "M"]}, {"sex": ["M", "X"]}]
    >>> learn_encoder([Category("sex")], chunks, min_count=2).vocabularies_
    {'sex': array(['M'], dtype='<U1')}
    """
    learned = StreamedEncoder(features)
    with naming("chunks", "a list or stream of tables"):
        chunks = iter(chunks)
    for chunk in chunks:
        learned.update(chunk)
    return learned.encoder(min_count=min_count)


class StreamedEncoder:
    """Counts of values and moments of numbers that grow chunk by chunk and can be merged.

    Parameters
    ----------
    features : sequence of Category, MultiCategory or Dense

    Examples
    --------
    >>> from recsys_ssl import Dense
    >>> learned = StreamedEncoder([Dense("age")])
    >>> learned.update({"age": [30.0, 50.0]})
    >>> learned.encoder().moments_["age"].ravel()
    array([40., 10.])
    """

    def __init__(self, features: Sequence[Feature]) -> None:
        self.features = FeatureEncoder(features).features
        self._counts = {f.name: _Counts(f.name) for f in self.features if not isinstance(f, Dense)}
        self._moments = {f.name: _Moments(f.name) for f in self.features if isinstance(f, Dense)}
        self._n_chunks = 0

    def update(self, chunk: Impressions | Any) -> None:
        """Count the rows of one chunk.

        Parameters
        ----------
        chunk : Impressions, table or mapping of columns

        Raises
        ------
        ValueError
            If a declared column is absent or of another kind than before.
        """
        columns = unweighted(chunk.columns if isinstance(chunk, Impressions) else to_columns(chunk))
        for feature in self.features:
            column = column_of(columns, feature)
            if isinstance(feature, Dense):
                self._moments[feature.name].update(dense_values(feature.name, column))
            else:
                values, missing = category_values(feature.name, column)
                self._counts[feature.name].update(values[~missing])
        self._n_chunks += 1

    def merge(self, other: StreamedEncoder) -> None:
        """Add what another one of the same features has counted.

        Raises
        ------
        ValueError
            If the features differ.
        """
        if other.features != self.features:
            raise ValueError(
                f"`other` must have the features {self.features}; got {other.features}. Declare the same."
            )
        for name, counts in self._counts.items():
            counts.add(*other._counts[name].totals())
        for name, moments in self._moments.items():
            moments.merge(other._moments[name])
        self._n_chunks += other._n_chunks

    def encoder(self, *, min_count: int = 1) -> FeatureEncoder:
        """Return an encoder that knows the values counted at least `min_count` times."""
        check_count("min_count", min_count)
        if not self._n_chunks:
            raise ValueError(
                "`chunks` must hold at least one chunk; got none. Check where the data come from."
            )
        arrays: dict[str, NDArray[Any]] = {}
        for name, counted in self._counts.items():
            values, counts = counted.totals()
            arrays[name] = values[counts >= min_count]
        for name, moments in self._moments.items():
            arrays[name] = moments.result()
        return FeatureEncoder.from_state(to_json(self.features), arrays)


def unweighted(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns, bags without their weights, which an encoder has no use for."""
    return {
        name: Bags(column.values, column.offsets) if isinstance(column, Bags) else column
        for name, column in columns.items()
    }


class _Counts:
    """How often each value occurred. New counts wait until they are many: merging stays cheap."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.values: NDArray[Any] = np.empty(0, dtype=np.int64)
        self.counts = np.empty(0, dtype=np.int64)
        self.waiting: list[tuple[NDArray[Any], NDArray[np.int64]]] = []
        self.n_waiting = 0

    def update(self, values: NDArray[Any]) -> None:
        found, counts = np.unique(values, return_counts=True)
        self.add(found, counts)

    def add(self, values: NDArray[Any], counts: NDArray[np.int64]) -> None:
        if not len(values):
            return
        before = self.waiting[0][0] if self.waiting else self.values if len(self.values) else values
        if (before.dtype.kind == "U") != (values.dtype.kind == "U"):
            raise ValueError(
                f"`{self.name}` must be strings or whole numbers in all chunks; got both. Convert it first."
            )
        self.waiting.append((values, counts))
        self.n_waiting += len(values)
        if self.n_waiting > max(len(self.values), _SMALL):
            self.totals()

    def totals(self) -> tuple[NDArray[Any], NDArray[np.int64]]:
        if self.waiting:
            parts = [(self.values, self.counts)] if len(self.values) else []
            parts += self.waiting
            values, counts = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
            order = np.argsort(values, kind="stable")
            values = values[order]
            first = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
            self.values, self.counts = values[first], np.add.reduceat(counts[order], first)
            self.waiting, self.n_waiting = [], 0
        return self.values, self.counts


class _Moments:
    """Number, mean and sum of squared deviations of every column, merged as Chan, Golub and LeVeque do."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = self.mean = self.squares = np.zeros(0)

    def update(self, values: NDArray[np.float64]) -> None:
        known = ~np.isnan(values)
        count = known.sum(axis=0).astype(np.float64)
        mean = np.where(known, values, 0.0).sum(axis=0) / np.maximum(count, 1)
        self._add(count, mean, (np.where(known, values - mean, 0.0) ** 2).sum(axis=0))

    def merge(self, other: _Moments) -> None:
        if len(other.count):
            self._add(other.count, other.mean, other.squares)

    def _add(
        self, count: NDArray[np.float64], mean: NDArray[np.float64], squares: NDArray[np.float64]
    ) -> None:
        if not len(self.count):
            self.count, self.mean, self.squares = count, mean, squares
            return
        if len(count) != len(self.count):
            raise ValueError(
                f"`{self.name}` must have {len(self.count)} numbers a row in all chunks; got {len(count)}. "
                "Pass the same columns."
            )
        total = np.maximum(self.count + count, 1)
        step = mean - self.mean
        self.squares = self.squares + squares + step**2 * self.count * count / total
        self.mean = self.mean + step * count / total
        self.count = self.count + count

    def result(self) -> NDArray[np.float64]:
        spread = np.sqrt(self.squares / np.maximum(self.count, 1))
        # A constant column keeps a spread of rounding errors, by which nothing may be divided.
        return np.stack([self.mean, np.where(spread > 1e-12 * np.abs(self.mean), spread, 1.0)])
