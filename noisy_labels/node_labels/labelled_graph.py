"""A graph with labels at some of its nodes, in the forms that users have it, checked and encoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from sparse_data.checks import check_one_of, check_same_length
from sparse_data.tensor_checks import check_tensor

Validation = Literal["noisy", "clean", "none"]
_HELD_OUT = 5  # without a validation part, one in so many training labels of each class becomes one


class Nodes(NamedTuple):
    """Features and edges of a graph's nodes: what a prediction needs.

    Parameters
    ----------
    x : float32 tensor of shape (n_nodes, n_features)
    edge_index : int64 tensor of shape (2, n_edges)
    """

    x: Tensor
    edge_index: Tensor

    def beside(self, model: Module) -> Nodes:
        """Return the nodes on the device of a network."""
        device = next((weight.device for weight in model.parameters()), self.x.device)
        return Nodes(self.x.to(device), self.edge_index.to(device))


@dataclass(frozen=True, eq=False)
class LabelledGraph:
    """Nodes, some of which have labels.

    Parameters
    ----------
    nodes : Nodes
    classes : array of shape (n_classes,)
    codes : int64 tensor of shape (n_nodes,)
        Noisy classes from 0; -1 at nodes that are in neither part.
    train, val : int64 tensors
        Positions of the nodes to learn from, and of those that choose the epoch, if any.
    val_codes : int64 tensor of shape (n_val,)
        The labels that choose it: noisy or clean.
    """

    nodes: Nodes
    classes: NDArray[Any]
    codes: Tensor
    train: Tensor
    val: Tensor
    val_codes: Tensor

    @property
    def unlabelled(self) -> Tensor:
        """Positions of the nodes without a training label."""
        rest = torch.ones_like(self.codes, dtype=torch.bool)
        rest[self.train] = False
        return rest.nonzero()[:, 0]


def read_nodes(X: Any, edge_index: Any = None) -> Nodes:
    """Return checked features and edges.

    Parameters
    ----------
    X : Data, or array of shape (n_nodes, n_features)
    edge_index : array of shape (2, n_edges), optional
        With an array alone; of a Data its own.

    Raises
    ------
    TypeError, ValueError
        For features that are missing, not finite or not in two dimensions, and edges that are none.
    """
    if isinstance(X, Data):
        X, edge_index = X.x, X.edge_index if edge_index is None else edge_index
    if X is None or edge_index is None:
        name = "X" if X is None else "edge_index"
        raise ValueError(f"`{name}` must be given; got None. Pass a Data with `x` and `edge_index`, or both.")
    if hasattr(X, "toarray"):
        X = X.toarray()
    x = check_tensor("X", X)
    x = (x.to_dense() if x.layout != torch.strided else x).float()
    if x.ndim != 2 or not x.numel():
        raise ValueError(
            f"`X` must be of shape (n_nodes, n_features) with rows and columns; got {tuple(x.shape)}. "
            "Give each node at least one feature."
        )
    if not x.isfinite().all():
        n_bad = int((~x.isfinite()).sum())
        raise ValueError(f"`X` must be finite; got {n_bad} NaN or infinite value(s). Remove or impute them.")
    return Nodes(x, _edges(edge_index, len(x)).to(x.device))


def check_same_nodes(nodes: Nodes, n_nodes: int) -> None:
    """Raise if a graph cannot be the one of `fit`, of whose nodes alone something is known."""
    if len(nodes.x) != n_nodes:
        raise ValueError(
            f"`X` must hold the {n_nodes} nodes of `fit`, since labels are known of these alone; got "
            f"{len(nodes.x)}. Fit to the new graph."
        )


def read_labelled_graph(
    X: Any, y: ArrayLike | None, edge_index: Any, *, validation: Validation, seed: int
) -> LabelledGraph:
    """Return a checked graph from what `fit` was given.

    Parameters
    ----------
    X : Data, or array of shape (n_nodes, n_features)
        A Data has `y`, and may have `train_mask`, `val_mask` and, for ``"clean"``, `y_clean`.  Nodes of the
        training mask, or without one all nodes of known label, are the training nodes.
    y : array of shape (n_nodes,), optional
        With an array: labels, -1 where unknown.  Of a Data its own.
    edge_index : array of shape (2, n_edges), optional
    validation : {"noisy", "clean", "none"}
        Without a validation mask, ``"noisy"`` takes a fifth of each class out of the training nodes.
    seed : int
        For that draw.

    Raises
    ------
    TypeError, ValueError
        For what `read_nodes` refuses, masks or labels of another length, no training node, or fewer than two
        classes among the labels.
    """
    check_one_of("validation", validation, ("noisy", "clean", "none"))
    nodes = read_nodes(X, edge_index)
    store = X if isinstance(X, Data) else Data(y=None if y is None else check_tensor("y", y))
    labels = _labels(store.y, len(nodes.x))
    train = _mask(store, "train_mask", labels)
    val = _mask(store, "val_mask", labels)
    train = labels >= 0 if train is None else train & (labels >= 0)
    if not train.any():
        raise ValueError("`train_mask` must hold a node of known label; got none. Label some nodes.")
    chosen = labels
    if validation == "clean":
        if val is None or "y_clean" not in store:
            raise ValueError(
                "`data` must have `val_mask` and `y_clean` for validation='clean'; got "
                f"{sorted(store.keys())}. Choose validation='noisy'."
            )
        chosen = _labels(store.y_clean, len(labels))
    if validation == "none":
        val = np.zeros_like(train)
    elif val is None:
        val = _held_out(labels, train, seed)
        train = train & ~val
    val = val & (chosen >= 0)
    if validation != "none" and not val.any():
        raise ValueError(
            "validation nodes must be given or be spared by the training nodes; got none. "
            "Choose validation='none', which takes the last epoch."
        )
    return _encoded(nodes, labels, chosen, train, val)


def _encoded(
    nodes: Nodes,
    labels: NDArray[np.int64],
    chosen: NDArray[np.int64],
    train: NDArray[np.bool_],
    val: NDArray[np.bool_],
) -> LabelledGraph:
    classes = np.unique(np.concatenate([labels[train], chosen[val]]))
    if classes.size < 2:
        raise ValueError(f"`y` must be of at least two classes; got {classes[0]} alone. Label other nodes.")
    known = (train | val) & (labels >= 0)
    codes = np.full(labels.shape, -1)
    codes[known] = np.searchsorted(classes, labels[known])
    device = nodes.x.device
    return LabelledGraph(
        nodes,
        classes,
        torch.from_numpy(codes).to(device),
        torch.from_numpy(np.flatnonzero(train)).to(device),
        torch.from_numpy(np.flatnonzero(val)).to(device),
        torch.from_numpy(np.searchsorted(classes, chosen[val])).to(device),
    )


def _edges(edge_index: Any, n_nodes: int) -> Tensor:
    edges = check_tensor("edge_index", edge_index)
    if edges.ndim != 2 or edges.shape[0] != 2:
        raise ValueError(
            f"`edge_index` must be of shape (2, n_edges); got {tuple(edges.shape)}. "
            "Put sources in the first row and targets in the second."
        )
    if edges.numel() and (edges.is_floating_point() or edges.dtype == torch.bool):
        raise TypeError(f"`edge_index` must be of an integer dtype; got {edges.dtype}. Use .long().")
    edges = edges.long()
    if edges.numel() and (int(edges.min()) < 0 or int(edges.max()) >= n_nodes):
        raise ValueError(
            f"`edge_index` must be in [0, {n_nodes}); got ids from {int(edges.min())} to "
            f"{int(edges.max())}. Pass the features of all nodes."
        )
    return edges


def _labels(y: Any, n_nodes: int) -> NDArray[np.int64]:
    if y is None:
        raise ValueError("`y` must be given; got None. Pass a label a node, -1 where it is not known.")
    labels = np.asarray(y.cpu() if isinstance(y, Tensor) else y)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(
            f"`y` must be an integer label a node, shape (n_nodes,); got {labels.dtype} of {labels.shape}. "
            "Encode the classes from 0, with -1 for unknown."
        )
    check_same_length(y=labels, X=range(n_nodes))
    return labels.astype(np.int64)


def _mask(store: Data, name: str, labels: NDArray[np.int64]) -> NDArray[np.bool_] | None:
    if name not in store:
        return None
    mask = np.asarray(store[name].cpu())
    if mask.dtype != np.bool_ or mask.shape != labels.shape:
        raise ValueError(
            f"`{name}` must be a bool a node, shape {labels.shape}; got {mask.dtype} of {mask.shape}. "
            "Take one column of several splits."
        )
    return mask


def _held_out(labels: NDArray[np.int64], train: NDArray[np.bool_], seed: int) -> NDArray[np.bool_]:
    generator = np.random.default_rng(seed)
    held_out = np.zeros_like(train)
    for label in np.unique(labels[train]):
        members = np.flatnonzero(train & (labels == label))
        held_out[generator.permutation(members)[: members.size // _HELD_OUT]] = True
    return held_out
