"""The graph networks that classifiers of nodes train, by name."""

from __future__ import annotations

import copy
from typing import Literal, cast

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.nn import GAT, GCN

from sparse_data.checks import check_one_of

NetworkName = Literal["gcn", "gat"]
_HEADS = 8
# Below this share of values that are not zero, a product with a sparse matrix takes less time.
_FEW = 0.1


class NodeNetwork(Module):
    """Two layers of GCN or GAT, with dropout before each.

    Parameters
    ----------
    name : {"gcn", "gat"}
        Of GAT, 8 heads, ELU and dropout of the attention too.
    n_features, hidden, n_outputs : int
    dropout : float
    """

    def __init__(
        self, name: NetworkName, *, n_features: int, hidden: int, n_outputs: int, dropout: float
    ) -> None:
        super().__init__()
        self.dropout = torch.nn.Dropout(dropout)
        if name == "gcn":
            self.layers = GCN(n_features, hidden, 2, n_outputs, dropout=dropout)
        else:
            self.layers = GAT(n_features, hidden, 2, n_outputs, dropout=dropout, act="elu", heads=_HEADS)

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        """Return the outputs of dense features or of a sparse COO matrix; only GCN takes edge weights."""
        x = _with_values(x, self.dropout(x.values())) if x.is_sparse else self.dropout(x)
        if edge_weight is None:
            return cast(Tensor, self.layers(x, edge_index))
        return cast(Tensor, self.layers(x, edge_index, edge_weight=edge_weight))


def sparse_if_few(x: Tensor) -> Tensor:
    """Return features as a coalesced sparse COO matrix where nearly all are zero, else as they are.

    Dropout then draws for the values that are not zero alone: the same network, several times faster on
    bags of words.

    Parameters
    ----------
    x : float tensor of shape (n_nodes, n_features)
    """
    return x.to_sparse() if int(x.count_nonzero()) < _FEW * x.numel() else x


def _with_values(x: Tensor, values: Tensor) -> Tensor:
    return torch.sparse_coo_tensor(x.indices(), values, x.shape, is_coalesced=True, check_invariants=False)


def build_network(
    network: NetworkName | Module, *, n_features: int, hidden: int, n_outputs: int, dropout: float
) -> Module:
    """Return a network by name, or a copy of the one given.

    Parameters
    ----------
    network : {"gcn", "gat"} or Module
        A module is called with features and edges and returns a logit a class.
    n_features, hidden, n_outputs, dropout
        As for `NodeNetwork`.

    Examples
    --------
    >>> network = build_network("gcn", n_features=3, hidden=4, n_outputs=2, dropout=0.5)
    >>> network(torch.zeros(5, 3), torch.tensor([[0], [1]])).shape
    torch.Size([5, 2])
    """
    if isinstance(network, Module):
        return copy.deepcopy(network)
    check_one_of("network", network, ("gcn", "gat"))
    return NodeNetwork(network, n_features=n_features, hidden=hidden, n_outputs=n_outputs, dropout=dropout)
