"""Nearest items to a query vector, exactly; `approximate_index.py` has the same methods on a graph."""

from __future__ import annotations

import os
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, issparse

from recsys_ssl.embeddings.id_lookup import (
    UNKNOWN,
    allowed_mask,
    as_ids,
    check_k,
    check_known,
    ids_of,
    lookup,
)
from recsys_ssl.recommenders.blocked_top_k import blocked_top_k
from sparse_data import checks
from sparse_data.saved_folder import rebuilding
from sparse_data.type_checks import check_path

METRICS = ("dot", "cosine")


class ExactIndex:
    """All items compared with each query, a block of queries at a time.

    Parameters
    ----------
    metric : {"dot", "cosine"}, default="dot"
        The similarity; use the one that the vectors were trained with.

    Attributes
    ----------
    ids : array of shape (n_items,)
        Sorted; the order of the columns of `seen`.
    vectors : float32 array of shape (n_items, dim)
        In the order of `ids`; of length 1 where the metric is the cosine.
    bias : float32 array of shape (n_items,)
        Added to the similarity.

    Examples
    --------
    >>> index = ExactIndex().build([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], ids=["a", "b", "c"])
    >>> ids, scores = index.search([[1.0, 0.5]], k=2)
    >>> ids.tolist(), scores.tolist()
    ([['c', 'a']], [[1.5, 1.0]])
    """

    kind = "exact"

    def __init__(self, *, metric: str = "dot") -> None:
        self.metric = checks.check_one_of("metric", metric, METRICS)
        self.ids: NDArray[Any] = np.zeros(0, dtype=np.int64)
        self.vectors: NDArray[np.float32] = np.zeros((0, 0), dtype=np.float32)
        self.bias: NDArray[np.float32] = np.zeros(0, dtype=np.float32)

    def __len__(self) -> int:
        return self.ids.size

    def build(
        self, vectors: ArrayLike, ids: ArrayLike | None = None, *, bias: ArrayLike | None = None
    ) -> Self:
        """Take the items in, in place of those there.

        Parameters
        ----------
        vectors : array of shape (n_items, dim)
        ids : array of shape (n_items,), optional
            Distinct integers or strings; by default 0, 1, ...
        bias : array of shape (n_items,), optional

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If shapes do not fit, a value is not finite or an id occurs twice.
        """
        rows = np.arange(len(np.asarray(vectors))) if ids is None else ids
        self._set(*self._checked(vectors, rows, bias))
        return self

    def add(self, vectors: ArrayLike, ids: ArrayLike, *, bias: ArrayLike | None = None) -> Self:
        """Add items; those whose id is there already are replaced."""
        new = self._checked(vectors, ids, bias)
        if len(self) and new[0].shape[1] != self.vectors.shape[1]:
            raise ValueError(
                f"`vectors` must have {self.vectors.shape[1]} columns; got {new[0].shape[1]}. "
                "Use the model that the index was built with."
            )
        if not len(self):
            self._set(*new)
            return self
        kept = lookup("ids", self.ids, new[1]) == UNKNOWN
        old = (self.vectors[kept], self.ids[kept], self.bias[kept])
        self._set(*(np.concatenate(pair) for pair in zip(old, new, strict=True)))
        return self

    def remove(self, ids: ArrayLike) -> Self:
        """Take items out.

        Raises
        ------
        ValueError
            If an id is not in the index.
        """
        gone = as_ids("ids", ids)
        rows = check_known("ids", gone, lookup("ids", gone, self.ids))
        kept = np.ones(len(self), dtype=np.bool_)
        kept[rows] = False
        self._set(self.vectors[kept], self.ids[kept], self.bias[kept])
        return self

    def search(
        self,
        queries: ArrayLike,
        k: int,
        *,
        seen: csr_array | None = None,
        allow: ArrayLike | None = None,
        deny: ArrayLike | None = None,
    ) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Return the `k` best items of each query.

        Parameters
        ----------
        queries : array of shape (n_queries, dim)
        k : int
            At least 1 and at most the number of allowed items.
        seen : csr_array of shape (n_queries, n_items), optional
            Pairs to leave out; columns in the order of `ids`.
        allow, deny : arrays of ids, optional
            Only items of `allow`, none of `deny`.  Ids that are not in the index are ignored.

        Returns
        -------
        ids : array of shape (n_queries, k)
            Best first; -1 or an empty string where nothing is left.
        scores : float32 array of shape (n_queries, k)
            -inf where nothing is left.
        """
        matrix = self._queries(queries)
        allowed = allowed_mask(self.ids, allow, deny)
        check_k(k, len(self) if allowed is None else int(allowed.sum()))
        if seen is not None and not issparse(seen):
            got = type(seen).__name__
            raise TypeError(f"`seen` must be a SciPy sparse array; got {got}. Wrap it in csr_array.")
        if seen is not None and seen.shape != (matrix.shape[0], len(self)):
            raise ValueError(
                f"`seen` must be of shape {(matrix.shape[0], len(self))}; got {seen.shape}. "
                "Give it one row a query and one column an item of `ids`."
            )
        columns, scores = self._search(matrix, k, seen, allowed)
        return ids_of(columns, self.ids), scores

    def _search(
        self,
        queries: NDArray[np.float32],
        k: int,
        seen: csr_array | None,
        allowed: NDArray[np.bool_] | None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        has_bias = bool(self.bias.any())

        def score_into(start: int, stop: int, out: NDArray[np.float32]) -> None:
            np.matmul(queries[start:stop], self.vectors.T, out=out)
            if has_bias:
                out += self.bias

        return blocked_top_k(score_into, queries.shape[0], len(self), k, seen=seen, allowed=allowed)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index to one file, which is complete or is not there at all."""
        target = check_path("path", path)
        # In the folder of the target, since a rename is atomic within one file system only.
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            with open(part, "wb") as file:
                np.savez(file, **self._arrays())
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` of the same class wrote.

        Raises
        ------
        ValueError
            If the file is damaged or was written by something else.
        """
        with open(check_path("path", path), "rb") as handle:
            try:
                with np.load(handle, allow_pickle=False) as file:
                    arrays = {name: file[name] for name in file.files}
            except Exception as error:  # zip, zlib and NumPy have their own; all mean a damaged file
                raise ValueError(
                    f"`path` must be an index; got a damaged file, {path}. Save it again."
                ) from error
        kind = str(arrays.get("kind", "no index"))
        checks.check_one_of("path", kind, (cls.kind,), hint="Load it with the class that saved it.")
        with rebuilding(path, f"{kind} index"):
            index = cls(**cls._parameters(arrays))
            index._restore(arrays)
        return index

    @classmethod
    def _parameters(cls, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
        return {"metric": str(arrays["metric"])}

    def _arrays(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "metric": self.metric,
            "ids": self.ids,
            "vectors": self.vectors,
            "bias": self.bias,
        }

    def _restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        self.ids, self.vectors, self.bias = arrays["ids"], arrays["vectors"], arrays["bias"]

    def _checked(
        self, vectors: ArrayLike, ids: ArrayLike, bias: ArrayLike | None
    ) -> tuple[NDArray[np.float32], NDArray[Any], NDArray[np.float32]]:
        """Return vectors, ids and bias, sorted by id."""
        matrix = self._unit("vectors", vectors)
        names = as_ids("ids", ids)
        offsets = np.zeros(names.size) if bias is None else checks.check_ndim("bias", bias, 1)
        if (np.abs(checks.check_finite("bias", offsets)) > np.finfo(np.float32).max).any():
            raise ValueError("`bias` must fit into float32; got larger numbers. Scale them.")
        checks.check_same_length(vectors=matrix, ids=names, bias=offsets)
        unique, order = np.unique(names, return_index=True)
        if unique.size < names.size:
            raise ValueError("`ids` must be distinct; got duplicates. Keep one vector an item.")
        return matrix[order], unique, offsets[order].astype(np.float32)

    def _queries(self, queries: ArrayLike) -> NDArray[np.float32]:
        matrix = self._unit("queries", queries)
        if matrix.shape[1] != self.vectors.shape[1]:
            raise ValueError(
                f"`queries` must have {self.vectors.shape[1]} columns; got {matrix.shape[1]}. "
                "Use the model that the index was built with."
            )
        return matrix

    def _unit(self, name: str, vectors: ArrayLike) -> NDArray[np.float32]:
        matrix = checks.check_finite(name, checks.check_ndim(name, vectors, 2))
        if self.metric == "cosine":
            norms = np.linalg.norm(matrix, axis=1, keepdims=True)
            matrix = matrix / np.where(norms > 0, norms, 1.0)
        if np.abs(matrix).max(initial=0.0) > np.finfo(np.float32).max:
            raise ValueError(f"`{name}` must fit into float32; got larger numbers. Scale them.")
        return np.ascontiguousarray(matrix, dtype=np.float32)

    def _set(self, vectors: NDArray[Any], ids: NDArray[Any], bias: NDArray[Any]) -> None:
        order = np.argsort(ids, kind="stable")
        self.vectors, self.ids, self.bias = vectors[order], ids[order], bias[order]
