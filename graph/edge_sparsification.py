"""Removal of the edges with the lowest scores: a function on edge lists and a PyG transform."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from graph.edge_guards import Guard, best_edge_of_each_node, spanning_forest
from graph.edge_list import NumNodes, Sizes, read_edge_list, select_edges
from graph.edge_pairs import is_symmetric, pair_edges
from graph.edge_scoring import Score, score_edges
from graph.smallest import floor_share, kth_smallest, smallest_mask
from sparse_data.checks import check_in_range, check_one_of
from sparse_data.tensor_checks import check_length
from sparse_data.type_checks import check_type

# Attributes of supervised links, which are no edges of the graph even where there are equally many.
_LABELS = ("edge_label", "edge_label_index")


def sparsify_edges(
    edge_index: Any,
    ratio: float,
    *,
    score: Score | Tensor = "teddy",
    num_nodes: NumNodes = None,
    undirected: bool | Literal["auto"] = "auto",
    guard: Guard | None = None,
    mask: Tensor | None = None,
    seed: int = 0,
) -> tuple[Any, Tensor]:
    r"""Remove the :math:`\lfloor p |E| \rfloor` edges with the lowest scores.

    Of undirected edges, :math:`|E|` counts pairs, and both directions go or stay. Self-loops stay and do not
    count. Of equal scores the last in the list go first, so that a larger ratio takes no edge back.

    Parameters
    ----------
    edge_index : tensor of shape (2, n_edges), EdgeIndex, sparse torch tensor or SciPy sparse array
    ratio : float
        p, in [0, 1].
    score : str or float tensor of shape (n_edges,), default="teddy"
        A score of `edge_scores`, or any scores; the two directions count with their mean.
    num_nodes : int or (n_sources, n_targets), optional
    undirected : bool or "auto", default="auto"
        "auto" looks whether all edges are there in both directions.
    guard : {"spanning_forest", "isolated"}, optional
        What must stay: a spanning forest of the largest scores, so that every connected component stays
        connected; or the best edge of every node, so that none becomes isolated. Fewer edges than the ratio
        asks for are removed where the others do not suffice.
    mask, seed
        As for `edge_scores`.

    Returns
    -------
    edge_index
        In the form given.
    mask : bool tensor of shape (n_edges,)
        True for the edges that stay.

    Raises
    ------
    TypeError, ValueError
        For edges that are none, a ratio outside [0, 1], scores that are not finite or of another length,
        ``undirected=True`` for edges without their reverse.

    References
    ----------
    Seo, Yun and Yang, "TEDDY", 2024, arXiv:2402.01261.

    Examples
    --------
    >>> path = torch.tensor([[0, 1, 2, 1, 2, 3], [1, 2, 3, 0, 1, 2]])
    >>> sparsify_edges(path, 0.34)
    (tensor([[0, 2, 1, 3],
            [1, 3, 0, 2]]), tensor([ True, False,  True,  True, False,  True]))
    """
    ratio = float(check_in_range("ratio", ratio, 0, 1))
    if guard is not None:
        check_one_of("guard", guard, get_args(Guard))
    edges, sizes = read_edge_list(edge_index, num_nodes)
    symmetric = undirected is not False and not sizes.bipartite and is_symmetric(edges)
    if undirected is True and not symmetric:
        pair_edges(edges)  # raises
    mirrored = symmetric
    if isinstance(score, Tensor):
        scores = _checked(score, edges)
        mirrored = symmetric and is_symmetric(edges, scores)
    else:
        check_one_of("score", score, get_args(Score))
        scores = score_edges(edges, sizes, score, symmetric=symmetric, mask=mask, seed=seed)
    if mirrored and guard is None:
        kept = _without_lowest_pairs(edges, scores, ratio)
    else:
        kept = _without_lowest(edges, sizes, scores, ratio, symmetric, guard)
    return select_edges(edge_index, kept, undirected=symmetric), kept


def _checked(scores: Tensor, edges: Tensor) -> Tensor:
    check_length("score", scores, "edge_index", edges.shape[1])
    scores = scores.detach().to(edges.device, torch.float64)
    if not scores.isfinite().all():
        n_bad = int((~scores.isfinite()).sum())
        raise ValueError(f"`score` must be finite; got {n_bad} NaN or infinite value(s). Remove them.")
    return scores


def _without_lowest_pairs(edges: Tensor, scores: Tensor, ratio: float) -> Tensor:
    """Return which edges stay where both directions have the same score: pairs are formed of ties alone."""
    loops = edges[0] == edges[1]
    n_loops = int(loops.sum())
    if n_loops:  # in no pair, whatever their score
        scores = scores.masked_fill(loops, torch.inf)
    n_entries = 2 * floor_share(ratio, (edges.shape[1] - n_loops) // 2)
    if n_entries == 0:
        return torch.ones(edges.shape[1], dtype=torch.bool, device=edges.device)
    threshold = kth_smallest(scores, n_entries)
    kept = scores >= threshold
    ties = (scores == threshold).nonzero()[:, 0]
    n_tied = (n_entries - (edges.shape[1] - int(kept.sum()))) // 2
    first, second = pair_edges(edges[:, ties])
    for side in (first, second):
        kept[ties[side[len(side) - n_tied :]]] = False
    return kept


def _without_lowest(
    edges: Tensor, sizes: Sizes, scores: Tensor, ratio: float, symmetric: bool, guard: Guard | None
) -> Tensor:
    """Return which edges stay, for any scores: units are pairs of an undirected graph, else single edges."""
    if symmetric:
        units = torch.stack(pair_edges(edges))  # (2, n_units)
    else:
        proper = (edges[0] != edges[1]) | sizes.bipartite
        units = proper.nonzero().T  # (1, n_units)
    values = scores[units].mean(dim=0)
    candidates = torch.ones_like(values, dtype=torch.bool)
    if guard is not None:
        protect = spanning_forest if guard == "spanning_forest" else best_edge_of_each_node
        ends = edges[:, units[0]]
        n_nodes = sizes.n_sources
        if sizes.bipartite:  # targets are further nodes
            ends = torch.stack([ends[0], ends[1] + n_nodes])
            n_nodes += sizes.n_targets
        candidates = ~protect(ends, values, n_nodes)
    rows = candidates.nonzero()[:, 0]
    n_removed = min(floor_share(ratio, len(values)), len(rows))
    kept = torch.ones(edges.shape[1], dtype=torch.bool, device=edges.device)
    kept[units[:, rows[smallest_mask(values[rows], n_removed)]]] = False
    return kept


def keep_edges(data: Any, mask: Any) -> Any:
    """Return a graph with the edges under a mask and all that belongs to them; labels of links stay.

    Parameters
    ----------
    data : Data or HeteroData
    mask : bool tensor of shape (n_edges,), or dict of edge type to such a tensor for HeteroData
    """
    sparse = data.edge_subgraph(mask)
    for own, given in zip(sparse.edge_stores, data.edge_stores, strict=True):
        for name in _LABELS:
            if name in given:
                own[name] = given[name]
    return sparse


@functional_transform("sparsify_edges")
class SparsifyEdges(BaseTransform):  # type: ignore[misc]
    """Remove the edges with the lowest scores from a graph, with everything that belongs to them.

    Every edge type of a `HeteroData` is sparsified by itself; a type and its reverse, as `ToUndirected`
    makes them, lose the same edges. Labels of links (``edge_label``, ``edge_label_index``) stay.

    Parameters
    ----------
    ratio : float
        Share of the edges to remove, in [0, 1].
    score : str, default="teddy"
        As for `edge_scores`, but ``"magnitude"``.
    guard : {"spanning_forest", "isolated"}, optional
        As for `sparsify_edges`.
    seed : int, default=0
        For ``"random"`` alone.

    Examples
    --------
    >>> path = Data(edge_index=torch.tensor([[0, 1, 2, 1, 2, 3], [1, 2, 3, 0, 1, 2]]), num_nodes=4)
    >>> SparsifyEdges(0.34)(path)
    Data(edge_index=[2, 4], num_nodes=4)
    """

    def __init__(
        self, ratio: float, score: Score = "teddy", guard: Guard | None = None, *, seed: int = 0
    ) -> None:
        check_in_range("ratio", ratio, 0, 1)
        self.ratio = ratio
        self.score = check_one_of("score", score, [name for name in get_args(Score) if name != "magnitude"])
        self.guard = None if guard is None else check_one_of("guard", guard, get_args(Guard))
        self.seed = seed

    def forward(self, data: Data | HeteroData) -> Data | HeteroData:
        """Return the sparse graph; the one given stays as it is."""
        if isinstance(data, HeteroData):
            return keep_edges(
                data, {name: self._mask(data[name]) for name in data.edge_types if "edge_index" in data[name]}
            )
        return keep_edges(data, self._mask(data.edge_stores[0])) if "edge_index" in data else data

    def _mask(self, store: Any) -> Tensor:
        check_type("data.edge_index", store.edge_index, Tensor, "Convert it with torch.as_tensor.")
        sizes = tuple(store.size())
        _, mask = sparsify_edges(
            store.edge_index,
            self.ratio,
            score=self.score,
            num_nodes=sizes if store.is_bipartite() else sizes[0],
            guard=self.guard,
            seed=self.seed,
        )
        return mask

    def __repr__(self) -> str:
        return f"SparsifyEdges(ratio={self.ratio}, score={self.score!r}, guard={self.guard!r})"
