"""Learn the vocabularies and moments of declared features, and encode columns as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError

from recsys_ssl.encoding.feature_columns import (
    LARGEST,
    category_values,
    column_of,
    dense_values,
    look_up_rows,
)
from recsys_ssl.encoding.features import (
    MISSING,
    NUM_RESERVED,
    Category,
    Dense,
    Feature,
    MultiCategory,
    from_json,
    to_json,
)
from sparse_data import Bags, checks
from sparse_data.datasets.columns import to_columns
from sparse_data.type_checks import check_type


class FeatureEncoder:
    """Vocabularies and statistics of declared features; turns columns into arrays that a tower reads.

    Parameters
    ----------
    features : sequence of Category, MultiCategory or Dense
        Names must differ.

    Attributes
    ----------
    vocabularies_ : dict of str to ndarray of shape (n_values,)
        Sorted values of every categorical feature.
    moments_ : dict of str to float64 ndarray of shape (2, width)
        Mean and standard deviation of every dense feature.

    Raises
    ------
    TypeError
        If a feature is none of the three kinds.
    ValueError
        If two features have the same name.

    Examples
    --------
    >>> encoder = FeatureEncoder([Category("sex")]).fit({"sex": ["M", "F"]})
    >>> encoder.transform({"sex": ["F", "M", "X", ""]})["sex"].tolist()  # "X" was never seen, "" is missing
    [3, 4, 1, 0]
    """

    def __init__(self, features: Sequence[Feature]) -> None:
        for feature in check_type("features", features, (list, tuple), "Pass a list."):
            if not isinstance(feature, Category | MultiCategory | Dense):
                raise TypeError(
                    f"`features` must be Category, MultiCategory or Dense; got {feature!r}. "
                    "Write Category('genre') for a column 'genre' of strings."
                )
            check_type("name", feature.name, str, "Name the column by text.")
        names = [feature.name for feature in features]
        if len(set(names)) != len(names):
            raise ValueError(f"`features` must have different names; got {names}. Remove the double one.")
        self.features = list(features)
        self.vocabularies_: dict[str, NDArray[Any]] = {}
        self.moments_: dict[str, NDArray[np.float64]] = {}

    def fit(self, columns: Any) -> FeatureEncoder:
        """Learn vocabularies and moments from one row an entity.

        Parameters
        ----------
        columns : table or mapping of columns

        Returns
        -------
        FeatureEncoder
            Itself.

        Raises
        ------
        ValueError
            If a declared column is absent or of another kind, or a dense one holds infinity. What was learned
            before stays.
        """
        columns = to_columns(columns)
        vocabularies: dict[str, NDArray[Any]] = {}
        moments: dict[str, NDArray[np.float64]] = {}
        for feature in self.features:
            column = column_of(columns, feature)
            if isinstance(feature, Dense):
                moments[feature.name] = _moments(dense_values(feature.name, column))
            else:
                values, missing = category_values(feature.name, column)
                vocabularies[feature.name] = np.unique(values[~missing])
        self.vocabularies_, self.moments_ = vocabularies, moments
        return self

    def transform(self, columns: Any) -> dict[str, NDArray[Any]]:
        """Encode rows.

        Parameters
        ----------
        columns : table or mapping of columns

        Returns
        -------
        dict of str to ndarray
            Category: int32 rows of the embedding table, shape (n,). MultiCategory: the same, shape
            (n, longest bag), padded with 0. Dense: float32 of shape (n, width + 1), the standardised values
            and a flag that is 1 where one is missing. ``MASK`` is never among the rows.

        Raises
        ------
        NotFittedError
            Before :meth:`fit`.
        ValueError
            If a declared column is absent, of another kind or width than in `fit`, or a dense one holds
            infinity.
        """
        columns = to_columns(columns)
        encoded: dict[str, NDArray[Any]] = {}
        for feature in self.features:
            learned = self._learned(feature)
            column = column_of(columns, feature)
            if isinstance(feature, Dense):
                encoded[feature.name] = _standardise(
                    feature.name, dense_values(feature.name, column), learned
                )
            elif isinstance(column, Bags):
                bags = column.map_values(look_up_rows(feature.name, column.values, learned))
                encoded[feature.name] = bags.to_padded(max(1, int(bags.lengths.max(initial=0))), fill=MISSING)
            else:
                encoded[feature.name] = look_up_rows(feature.name, column, learned)
        return encoded

    def transform_missing(self, n: int) -> dict[str, NDArray[Any]]:
        """Encode ``n`` rows of which nothing is known."""
        checks.check_count("n", n, minimum=0, maximum=2**31 - 1)
        encoded: dict[str, NDArray[Any]] = {}
        for feature in self.features:
            learned = self._learned(feature)
            if isinstance(feature, Dense):
                unknown = np.full((n, learned.shape[1]), np.nan)
                encoded[feature.name] = _standardise(feature.name, unknown, learned)
            else:
                shape = (n, 1) if isinstance(feature, MultiCategory) else (n,)
                encoded[feature.name] = np.full(shape, MISSING, dtype=np.int32)
        return encoded

    def specification(self) -> list[dict[str, Any]]:
        """Return what a tower has to know: names, kinds and table sizes, JSON-ready.

        Examples
        --------
        >>> FeatureEncoder([Category("sex")]).fit({"sex": ["F", "M"]}).specification()
        [{'name': 'sex', 'kind': 'category', 'num_rows': 5}]
        """
        entries: list[dict[str, Any]] = []
        for feature in self.features:
            entry: dict[str, Any] = {"name": feature.name}
            if isinstance(feature, Dense):
                entry.update(kind="dense", num_rows=self._learned(feature).shape[1] + 1)
            else:
                entry.update(kind="category", num_rows=len(self._learned(feature)) + NUM_RESERVED)
            if isinstance(feature, MultiCategory):
                entry.update(kind="multi", combiner=feature.combiner)
            entries.append(entry)
        return entries

    def to_state(self) -> tuple[list[dict[str, Any]], dict[str, NDArray[Any]]]:
        """Return a JSON-ready declaration and plain arrays, from which `from_state` rebuilds the encoder."""
        return to_json(self.features), {**self.vocabularies_, **self.moments_}

    @classmethod
    def from_state(
        cls, declaration: Sequence[Mapping[str, Any]], arrays: Mapping[str, NDArray[Any]]
    ) -> FeatureEncoder:
        """Rebuild an encoder from what `to_state` returned."""
        encoder = cls(from_json(declaration))
        for feature in encoder.features:
            learned = encoder.moments_ if isinstance(feature, Dense) else encoder.vocabularies_
            if not isinstance(arrays, Mapping) or feature.name not in arrays:
                raise ValueError(
                    f"`arrays` must hold what was learned of {feature.name!r}; got others. "
                    "Pass what `to_state` returned."
                )
            learned[feature.name] = checks.check_array(f"arrays[{feature.name!r}]", arrays[feature.name])
        return encoder

    def _learned(self, feature: Feature) -> NDArray[Any]:
        learned = self.moments_ if isinstance(feature, Dense) else self.vocabularies_
        if feature.name not in learned:
            raise NotFittedError("This FeatureEncoder is not fitted yet. Call `fit` with the columns first.")
        return learned[feature.name]


def _moments(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return mean and standard deviation of every column, (2, width); 0 and 1 if nothing can be learned."""
    known = ~np.isnan(values)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, values, 0.0).sum(axis=0) / count
    spread = np.sqrt((np.where(known, values - mean, 0.0) ** 2).sum(axis=0) / count)
    # A constant column keeps a spread of rounding errors, by which nothing may be divided.
    return np.stack([mean, np.where(spread > 1e-12 * np.abs(mean), spread, 1.0)])


def _standardise(name: str, values: NDArray[np.float64], moments: NDArray[np.float64]) -> NDArray[np.float32]:
    mean, spread = moments
    if values.shape[1] != len(mean):
        raise ValueError(
            f"`{name}` must have {len(mean)} numbers a row, as in the data of `fit`; "
            f"got {values.shape[1]}. Pass the same columns."
        )
    missing = np.isnan(values)
    standard = np.clip(np.where(missing, 0.0, (values - mean) / spread), -LARGEST, LARGEST)
    return np.concatenate([standard, missing.any(axis=1, keepdims=True)], axis=1).astype(np.float32)
