"""Scores of edges from the graph alone: a high score is an edge to keep."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor

from graph.edge_list import NumNodes, Sizes, read_edge_list
from graph.edge_pairs import is_symmetric, pair_edges, pair_uniform
from graph.neighbour_overlap import count_common_neighbours
from sparse_data.checks import check_count, check_one_of
from sparse_data.tensor_checks import check_length, check_tensor

Score = Literal[
    "teddy", "inverse_degree", "jaccard", "cosine", "local_degree", "resistance", "random", "magnitude"
]


def edge_scores(
    edge_index: Any,
    *,
    score: Score = "teddy",
    num_nodes: NumNodes = None,
    mask: Tensor | None = None,
    seed: int = 0,
) -> Tensor:
    r"""Return one score an edge; the edges with the lowest scores are the ones to remove.

    With degrees :math:`d` and neighbours :math:`N` without self-loops, of an edge between u and v:

    - ``"teddy"``: :math:`t_u t_v` with :math:`t_v = d_v^{-2} \sum_{w \in N(v)} d_w^{-1/2}`.
    - ``"inverse_degree"``: :math:`1 / (d_u d_v)`.
    - ``"jaccard"``, ``"cosine"``: :math:`c / (d_u + d_v - c)` and :math:`c / \sqrt{d_u d_v}` with
      :math:`c = |N(u) \cap N(v)|`.
    - ``"local_degree"``: :math:`\max(\alpha_u(v), \alpha_v(u))`, :math:`\alpha_u(v) = 1 - \ln r / \ln d_u`,
      where :math:`r - 1` neighbours of u have a larger degree than v has.
    - ``"resistance"``: :math:`(d_u + d_v - 2) / (d_u d_v - 1)`, 1 for an edge between two leaves: a lower
      bound of the effective resistance, exact for leaves and in complete graphs.
    - ``"random"``: a number of [0, 1) that depends on `seed` and the two ids only.
    - ``"magnitude"``: :math:`|m_{uv}|` of a learned `mask`, the mean of both directions if there are both.

    Time and memory grow with the number of edges; ``"local_degree"`` sorts, and ``"jaccard"`` and
    ``"cosine"`` take :math:`\sum_{uv} \min(d_u, d_v)` steps. In a directed or bipartite graph u has its
    out-degree and successors, v its in-degree and predecessors, which for both directions of an undirected
    graph is the same. On a GPU sums are added in no fixed order: the last bits of ``"teddy"`` may vary.

    Parameters
    ----------
    edge_index : tensor of shape (2, n_edges), EdgeIndex, sparse torch tensor or SciPy sparse array
    score : str, default="teddy"
    num_nodes : int or (n_sources, n_targets), optional
    mask : float tensor of shape (n_edges,), optional
        For ``"magnitude"`` alone.
    seed : int, default=0
        For ``"random"`` alone.

    Returns
    -------
    float64 tensor of shape (n_edges,)
        Self-loops have the largest score.

    Raises
    ------
    TypeError, ValueError
        If the edges are no edges, `score` is unknown or `mask` is absent or does not fit.

    References
    ----------
    Seo, Yun and Yang, "TEDDY: Trimming edges with degree-based discrimination strategy", 2024,
    arXiv:2402.01261. Hamann, Lindner, Meyerhenke, Staudt and Wagner, "Structure-preserving sparsification
    methods for social networks", 2016, arXiv:1601.00286 (local degree).

    Examples
    --------
    The path 0 - 1 - 2 - 3, each edge in one direction and then in the other:

    >>> path = torch.tensor([[0, 1, 2, 1, 2, 3], [1, 2, 3, 0, 1, 2]])
    >>> edge_scores(path).round(decimals=3).tolist()
    [0.302, 0.182, 0.302, 0.302, 0.182, 0.302]
    """
    check_one_of("score", score, get_args(Score))
    edges, sizes = read_edge_list(edge_index, num_nodes)
    symmetric = not sizes.bipartite and is_symmetric(edges)
    return score_edges(edges, sizes, score, symmetric=symmetric, mask=mask, seed=seed)


def score_edges(
    edges: Tensor, sizes: Sizes, score: Score, *, symmetric: bool, mask: Tensor | None = None, seed: int = 0
) -> Tensor:
    """Return the scores of edges that were read; see `edge_scores`.

    Parameters
    ----------
    edges : int64 tensor of shape (2, n_edges)
    sizes : Sizes
    score : str
    symmetric : bool
        Whether all edges are there in both directions. Both get the same score then, to the last bit.
    mask, seed
        As for `edge_scores`.
    """
    if score == "magnitude":
        return _magnitude(edges, sizes, mask, symmetric)
    loops = edges[0] == edges[1]
    if sizes.bipartite or not loops.any():
        return _loopless(edges, sizes, score, symmetric, seed)
    proper = _loopless(edges[:, ~loops], sizes, score, symmetric, seed)
    highest = proper.max() if proper.numel() else torch.ones((), dtype=torch.float64, device=edges.device)
    scores = highest.repeat(edges.shape[1])
    scores[~loops] = proper
    return scores


def _loopless(edges: Tensor, sizes: Sizes, score: Score, symmetric: bool, seed: int) -> Tensor:
    if score == "random":
        return pair_uniform(edges, check_count("seed", seed, minimum=0))
    d_out = torch.bincount(edges[0], minlength=sizes.n_sources)
    d_in = d_out if symmetric else torch.bincount(edges[1], minlength=sizes.n_targets)
    if score == "teddy":
        return _teddy(edges, d_out.double(), d_in.double(), symmetric)
    if score == "local_degree":
        flipped = edges.flip(0)
        return torch.maximum(_local_rank(edges, d_out, d_in), _local_rank(flipped, d_in, d_out))
    d_u, d_v = d_out.double().index_select(0, edges[0]), d_in.double().index_select(0, edges[1])
    if score == "inverse_degree":
        return 1 / (d_u * d_v)
    if score == "resistance":
        bound = (d_u + d_v - 2) / (d_u * d_v - 1)
        return bound.nan_to_num(nan=1.0)  # 0 / 0 for two leaves joined to each other
    if sizes.bipartite:
        raise ValueError(
            f"`score` must not be {score!r} for a bipartite graph, whose ends have no common neighbours; "
            f"got {sizes.n_sources} sources and {sizes.n_targets} targets. Choose another score."
        )
    common = count_common_neighbours(edges, d_out, d_in).double()
    return common / (d_u + d_v - common if score == "jaccard" else (d_u * d_v).sqrt())


def _teddy(edges: Tensor, d_out: Tensor, d_in: Tensor, symmetric: bool) -> Tensor:
    """Return t_u t_v; h, m and t as the paper's first and second level have them."""
    t_in = _two_levels(edges[0], edges[1], d_out, d_in)
    # Summed in another order the last bits would differ, so an undirected graph must use one sum for both.
    t_out = t_in if symmetric else _two_levels(edges[1], edges[0], d_in, d_out)
    return t_out.index_select(0, edges[0]).mul_(t_in.index_select(0, edges[1]))


def _two_levels(neighbours: Tensor, nodes: Tensor, d_neighbours: Tensor, d_nodes: Tensor) -> Tensor:
    h = d_neighbours.rsqrt()  # infinite for an isolated node, which is nobody's neighbour
    sums = torch.bincount(nodes, h.index_select(0, neighbours), minlength=len(d_nodes))
    return sums / d_nodes.clamp(min=1).square()


def _local_rank(edges: Tensor, d_u: Tensor, d_v: Tensor) -> Tensor:
    """Return alpha_u(v) = 1 - ln r / ln d_u of each edge."""
    if not edges.numel():
        return torch.zeros(0, dtype=torch.float64, device=edges.device)
    highest = int(d_v.max())
    keys = edges[0] * (highest + 1) + (highest - d_v[edges[1]])  # by node, then by falling degree
    begins = d_u.cumsum(0) - d_u
    ranks = torch.searchsorted(keys.sort().values, keys) - begins[edges[0]] + 1
    alpha = 1 - ranks.double().log() / d_u[edges[0]].double().log()
    return alpha.nan_to_num(nan=1.0)  # 0 / 0 for the one edge of a leaf


def _magnitude(edges: Tensor, sizes: Sizes, mask: Tensor | None, symmetric: bool) -> Tensor:
    if mask is None:
        raise ValueError("`mask` must be given for the score 'magnitude'; got None. Pass the learned mask.")
    mask = check_length("mask", check_tensor("mask", mask), "edges", edges.shape[1])
    magnitudes = mask.detach().to(edges.device, torch.float64).abs()
    if symmetric:
        first, second = pair_edges(edges)
        means = (magnitudes[first] + magnitudes[second]) / 2
        magnitudes = magnitudes.index_copy(0, first, means).index_copy(0, second, means)
    loops = edges[0] == edges[1]
    if sizes.bipartite or not loops.any():
        return magnitudes
    return magnitudes.masked_fill(loops, magnitudes.max())
