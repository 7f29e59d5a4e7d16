"""Ids and side tables of users or items as arrays, one row an entity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_ssl.embeddings.id_lookup import as_ids
from recsys_ssl.encoding.feature_columns import look_up_rows
from recsys_ssl.encoding.feature_encoder import FeatureEncoder
from recsys_ssl.encoding.features import Category, Feature, infer_features
from sparse_data.datasets.columns import to_columns
from sparse_data.type_checks import check_list


class EntityFeatures:
    """Encode entities by their id and by what a side table says of them.

    Three things stay apart: an id that training never saw is out of vocabulary, an entity that the table does
    not describe has missing features, and an entity of the table without interactions is described as any
    other.

    Parameters
    ----------
    id_name : {"user_id", "item_id"}
        The id's column in the side table and the name of the id's own feature.
    encoder : FeatureEncoder
        Fitted, for the features of the side table.
    known_ids : ndarray of shape (n,)
        Sorted ids that get an embedding of their own.

    Examples
    --------
    >>> table = {"item_id": [1, 2], "genre": ["war", "war"]}
    >>> features = EntityFeatures.learn("item_id", np.array([1, 9]), table)
    >>> encoded = features.encode(np.array([1, 2, 9]), table)
    >>> encoded["item_id"].tolist(), encoded["genre"].tolist()
    ([3, 1, 4], [3, 3, 0])
    """

    def __init__(self, id_name: str, encoder: FeatureEncoder, known_ids: NDArray[Any]) -> None:
        self.id_name = id_name
        self.encoder = encoder
        self.known_ids = known_ids

    @classmethod
    def learn(
        cls, id_name: str, known_ids: NDArray[Any], table: Any, features: Sequence[Feature] | None = None
    ) -> EntityFeatures:
        """Learn vocabularies and moments.

        Parameters
        ----------
        id_name : {"user_id", "item_id"}
        known_ids : ndarray of shape (n,)
            Sorted ids of the training log.
        table : table, mapping of columns or None
        features : sequence of Category, MultiCategory or Dense, optional
            By default what `infer_features` makes of the table.

        Returns
        -------
        EntityFeatures

        Raises
        ------
        ValueError
            If a declared feature is the id itself, or is not in the table, or holds another kind of values.
        """
        if features is not None:
            features = check_list(f"{id_name.removesuffix('_id')}_features", features)
        if features is not None and id_name in [getattr(feature, "name", None) for feature in features]:
            raise ValueError(
                f"`features` must not name {id_name!r}, which every entity has anyway; got it among them. "
                "Leave it out."
            )
        if table is None:
            if features:
                raise ValueError(
                    f"`features` must be in a side table; got {len(features)} features and no table with "
                    f"{id_name!r}. Pass the side table."
                )
            return cls(id_name, FeatureEncoder([]), known_ids)
        columns = to_columns(table)
        chosen = infer_features(columns, leave_out=(id_name,)) if features is None else list(features)
        table_ids = _ids_of(id_name, columns)
        if (table_ids.dtype.kind == "U") == (known_ids.dtype.kind == "U"):
            # A value of entities without interactions alone has no vector that training has touched.
            trained = np.isin(table_ids, known_ids)
            columns = {name: column[trained] for name, column in columns.items()}
        return cls(id_name, FeatureEncoder(chosen).fit(columns), known_ids)

    def encode(self, ids: NDArray[Any], table: Any) -> dict[str, NDArray[Any]]:
        """Encode entities.

        Parameters
        ----------
        ids : ndarray of shape (n,)
        table : table, mapping of columns or None
            Every declared feature must be a column; an id may be absent.

        Returns
        -------
        dict of str to ndarray with n rows

        Raises
        ------
        ValueError
            If a feature is missing from the table or is of another kind than in `learn`.
        """
        encoded = {self.id_name: look_up_rows(self.id_name, ids, self.known_ids)}
        if not self.encoder.features:
            return encoded
        nothing = self.encoder.transform_missing(1)
        if table is None:
            return {**encoded, **{name: np.repeat(row, len(ids), axis=0) for name, row in nothing.items()}}
        columns = to_columns(table)
        place = self._place(ids, columns)
        for name, rows in self.encoder.transform(columns).items():
            # The row behind the last one stands for entities that the table does not describe.
            row = nothing[name]
            if rows.ndim == 2 and row.shape[1] < rows.shape[1]:
                row = np.repeat(row, rows.shape[1], axis=1)
            encoded[name] = np.concatenate([rows, row])[place]
        return encoded

    def specification(self) -> list[dict[str, Any]]:
        """Return what a tower has to know, the id first."""
        id_encoder = FeatureEncoder([Category(self.id_name)])
        id_encoder.vocabularies_[self.id_name] = self.known_ids
        return [*id_encoder.specification(), *self.encoder.specification()]

    def to_state(self) -> tuple[list[dict[str, Any]], dict[str, NDArray[Any]]]:
        """Return a JSON-ready declaration and plain arrays."""
        declaration, arrays = self.encoder.to_state()
        return declaration, {**arrays, self.id_name: self.known_ids}

    @classmethod
    def from_state(
        cls, id_name: str, declaration: Sequence[Mapping[str, Any]], arrays: Mapping[str, NDArray[Any]]
    ) -> EntityFeatures:
        """Rebuild from what `to_state` returned."""
        return cls(id_name, FeatureEncoder.from_state(declaration, arrays), arrays[id_name])

    def _place(self, ids: NDArray[Any], columns: Mapping[str, Any]) -> NDArray[np.int64]:
        """Row of every id in the table, one past the last where it is absent."""
        table_ids = _ids_of(self.id_name, columns)
        order = np.argsort(table_ids, kind="stable")
        if len(order) == 0:
            return np.zeros(len(ids), dtype=np.int64)
        if (table_ids.dtype.kind == "U") != (ids.dtype.kind == "U"):
            raise ValueError(
                f"`{self.id_name}` must be of the same type in the side table and in the log; "
                f"got {table_ids.dtype} and {ids.dtype}. Convert one of them."
            )
        at = np.minimum(np.searchsorted(table_ids[order], ids), len(order) - 1)
        return np.where(table_ids[order[at]] == ids, order[at], len(order))


def _ids_of(id_name: str, columns: Mapping[str, Any]) -> NDArray[Any]:
    if id_name not in columns:
        raise ValueError(f"`{id_name}` must be a column of the side table; got {sorted(columns)}. Add it.")
    return as_ids(id_name, columns[id_name])
