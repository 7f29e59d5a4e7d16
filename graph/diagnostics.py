"""What is left of a sparsified graph: isolated nodes, components, homophily, degrees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from graph.edge_list import NumNodes, read_edge_list
from sparse_data.tensor_checks import check_length, check_tensor


@dataclass(frozen=True, eq=False)
class GraphDiagnostics:
    """Facts about a graph; self-loops are left out of all of them.

    Parameters
    ----------
    n_nodes, n_edges : int
        Both directions of an undirected edge count.
    n_isolated : int
        Nodes without an edge.
    n_components, largest_component : int
        Connected components, with directions ignored, and the nodes of the largest.
    homophily : float
        Share of the edges between known nodes of one class; NaN without labels or edges.
    degree_histogram : int64 array of shape (largest in-degree + 1,)
        Number of nodes of each in-degree.
    """

    n_nodes: int
    n_edges: int
    n_isolated: int
    n_components: int
    largest_component: int
    homophily: float
    degree_histogram: NDArray[np.int64]


def graph_diagnostics(
    edge_index: Any, *, num_nodes: NumNodes = None, labels: Tensor | None = None
) -> GraphDiagnostics:
    """Return what sparsification may have done to a graph.

    Parameters
    ----------
    edge_index : tensor of shape (2, n_edges), EdgeIndex, sparse torch tensor or SciPy sparse array
        Of one kind of nodes.
    num_nodes : int, optional
    labels : integer tensor of shape (n_nodes,), optional
        -1 is unknown.

    Returns
    -------
    GraphDiagnostics

    Raises
    ------
    ValueError
        If the graph is bipartite or the labels are not one a node.

    Examples
    --------
    >>> path_and_one = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    >>> facts = graph_diagnostics(path_and_one, num_nodes=4, labels=torch.tensor([0, 0, 1, 1]))
    >>> facts.n_isolated, facts.n_components, facts.homophily, facts.degree_histogram.tolist()
    (1, 2, 0.5, [1, 2, 1])
    """
    edges, (n_nodes, n_targets, bipartite) = read_edge_list(edge_index, num_nodes)
    if bipartite:
        raise ValueError(
            f"`edge_index` must join nodes of one kind; got {n_nodes} sources and {n_targets} targets. "
            "Take each kind by itself."
        )
    edges = edges[:, edges[0] != edges[1]].cpu()
    ones = np.ones(edges.shape[1], dtype=np.int8)
    links = scipy.sparse.coo_array((ones, tuple(edges.numpy())), shape=(n_nodes, n_nodes)).tocsr()
    n_components, component = connected_components(links, directed=False)
    touched = torch.zeros(n_nodes, dtype=torch.bool)
    touched[edges.flatten()] = True
    degrees = torch.bincount(edges[1], minlength=n_nodes)
    return GraphDiagnostics(
        n_nodes=n_nodes,
        n_edges=edges.shape[1],
        n_isolated=int((~touched).sum()),
        n_components=int(n_components),
        largest_component=int(np.bincount(component).max()) if n_nodes else 0,
        homophily=_homophily(edges, n_nodes, labels),
        degree_histogram=torch.bincount(degrees).numpy(),
    )


def _homophily(edges: Tensor, n_nodes: int, labels: Tensor | None) -> float:
    if labels is None:
        return float("nan")
    labels = check_length("labels", check_tensor("labels", labels), "nodes", n_nodes)
    ends = labels.cpu()[edges]
    known = (ends >= 0).all(dim=0)
    return float((ends[0] == ends[1])[known].double().mean())
