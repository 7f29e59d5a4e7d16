"""Nearest items to a query vector by a navigable small-world graph: the extra `ann`."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_ssl.embeddings.id_lookup import UNKNOWN
from recsys_ssl.measures.ranking_accumulator import hit_matrix
from recsys_ssl.recommenders.index import ExactIndex
from sparse_data import checks
from sparse_data.ops_numba import top_k

QUERIES_AT_ONCE = 256


class ApproximateIndex(ExactIndex):
    """An index that looks at a few hundred candidates of each query instead of at all items.

    The graph (HNSW, of usearch) finds `expansion` candidates, which are then scored exactly.  Where the
    filters leave fewer than k of them, that query is searched exactly, so that no list is short which
    need not be.  Below about a million items `ExactIndex` on large batches of queries is as fast.

    The graph is built for the inner product itself.  The usual detour, to lengthen the vectors so that
    the cosine orders them alike, found far fewer of the best items with the widely differing norms of
    trained vectors (.84 of the best 20 against .96, on the 40,981 items of Gowalla).

    Parameters
    ----------
    metric : {"dot", "cosine"}, default="dot"
    connectivity : int, default=16
        Links of each item; more finds more and takes longer to build.
    expansion : int, default=400
        Candidates of each query.

    References
    ----------
    Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using Hierarchical
    Navigable Small World graphs", 2016, arXiv:1603.09320.
    Morozov and Babenko, "Non-metric similarity graphs for maximum inner product search", 2018.
    """

    kind = "approximate"

    def __init__(self, *, metric: str = "dot", connectivity: int = 16, expansion: int = 400) -> None:
        super().__init__(metric=metric)
        self.connectivity = checks.check_count("connectivity", connectivity, minimum=2)
        self.expansion = checks.check_count("expansion", expansion)
        self._usearch()
        self._graph: Any = None
        self._keys = np.zeros(0, dtype=np.int64)

    @staticmethod
    def _usearch() -> Any:
        try:
            return importlib.import_module("usearch.index")
        except ImportError as error:
            raise ImportError("ApproximateIndex needs usearch: pip install 'sparselabels[ann]'") from error

    def _set(self, vectors: NDArray[Any], ids: NDArray[Any], bias: NDArray[Any]) -> None:
        """Take the items over, and change the graph where items came or went."""
        old_ids, old_vectors, old_bias, old_keys = self.ids, self.vectors, self.bias, self._keys
        super()._set(vectors, ids, bias)
        # The bias is one more dimension, in which all queries are 1.
        extended = np.column_stack([self.vectors, self.bias])
        if not old_ids.size or self.vectors.shape[1] != old_vectors.shape[1]:
            self._keys = np.arange(len(self))
            self._graph = self._empty_graph()
            if len(self):
                self._graph.add(self._keys, extended)
            return
        # An item stays as it is where id, vector and bias are the same.
        places = _places(self.ids, old_ids)
        same = places != UNKNOWN
        same[same] = (old_vectors[places[same]] == self.vectors[same]).all(axis=1) & (
            old_bias[places[same]] == self.bias[same]
        )
        kept = np.zeros(old_ids.size, dtype=np.bool_)
        kept[places[same]] = True
        self._keys = np.where(same, old_keys[np.maximum(places, 0)], UNKNOWN)
        self._keys[~same] = int(old_keys.max()) + 1 + np.arange(int((~same).sum()))
        if not kept.all():
            self._graph.remove(old_keys[~kept])
        if not same.all():
            self._graph.add(self._keys[~same], extended[~same])

    def _empty_graph(self) -> Any:
        return self._usearch().Index(
            ndim=self.vectors.shape[1] + 1,
            metric="ip",
            dtype="f32",
            connectivity=self.connectivity,
            expansion_search=self.expansion,
        )

    def _search(
        self,
        queries: NDArray[np.float32],
        k: int,
        seen: csr_array | None,
        allowed: NDArray[np.bool_] | None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        n_candidates = min(max(self.expansion, k), len(self))
        columns = np.full((queries.shape[0], k), UNKNOWN, dtype=np.int64)
        scores = np.full((queries.shape[0], k), -np.inf, dtype=np.float32)
        for start in range(0, queries.shape[0], QUERIES_AT_ONCE):
            block = slice(start, start + QUERIES_AT_ONCE)
            part = None if seen is None else seen[block]
            columns[block], scores[block] = self._search_graph(queries[block], k, n_candidates, part, allowed)
        short = np.flatnonzero(scores[:, -1] == -np.inf)
        if short.size:
            columns[short], scores[short] = super()._search(
                queries[short], k, None if seen is None else seen[short], allowed
            )
        return columns, scores

    def _search_graph(
        self,
        queries: NDArray[np.float32],
        k: int,
        n_candidates: int,
        seen: csr_array | None,
        allowed: NDArray[np.bool_] | None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        n_queries = queries.shape[0]
        extended = np.column_stack([queries, np.ones(n_queries, dtype=np.float32)])
        found = self._graph.search(extended, n_candidates)
        keys = np.asarray(found.keys, dtype=np.int64).reshape(n_queries, -1)
        counts = np.asarray(getattr(found, "counts", keys.shape[1])).reshape(-1, 1)
        inside = np.arange(keys.shape[1]) < counts
        column_of_key = np.zeros(int(self._keys.max()) + 1, dtype=np.int64)
        column_of_key[self._keys] = np.arange(len(self))
        # Sorted, so that the lower column comes first where scores tie.
        candidates = np.sort(np.where(inside, column_of_key[np.where(inside, keys, 0)], UNKNOWN), axis=1)
        # (n_queries, n_candidates, dim) times (n_queries, dim, 1) is (n_queries, n_candidates, 1)
        scores = (self.vectors[candidates] @ queries[:, :, None])[:, :, 0] + self.bias[candidates]
        drop = candidates == UNKNOWN
        if allowed is not None:
            drop |= ~allowed[candidates]
        if seen is not None:
            rows, items = seen.tocoo().coords
            drop |= hit_matrix(candidates, rows.astype(np.int64), items.astype(np.int64))
        scores[drop] = -np.inf
        best, order = top_k(scores, k)
        columns = np.take_along_axis(candidates, order, axis=1)
        columns[best == -np.inf] = UNKNOWN
        return columns, best

    @classmethod
    def _parameters(cls, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
        numbers = {name: int(arrays[name]) for name in ("connectivity", "expansion")}
        return super()._parameters(arrays) | numbers

    def _arrays(self) -> dict[str, Any]:
        return super()._arrays() | {
            "connectivity": self.connectivity,
            "expansion": self.expansion,
            "keys": self._keys,
            "graph": np.frombuffer(self._graph.save() if len(self) else b"", dtype=np.uint8),
        }

    def _restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        super()._restore(arrays)
        self._keys = arrays["keys"]
        self._graph = self._empty_graph()
        if len(self):
            self._graph.load(arrays["graph"].tobytes())


def _places(ids: NDArray[Any], vocabulary: NDArray[Any]) -> NDArray[np.int64]:
    """Return where each id is in the sorted vocabulary, -1 where it is not."""
    places = np.minimum(np.searchsorted(vocabulary, ids), vocabulary.size - 1)
    return np.where(vocabulary[places] == ids, places, UNKNOWN)
