"""What a graph network is trained for: classes of nodes, or whether links exist."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, log_softmax
from torch_geometric.data import Data

from graph.edge_list import read_edge_list
from sparse_data.tensor_checks import check_length, check_tensor
from sparse_data.type_checks import check_type, naming

Forward = Callable[[Module, Any], Tensor]


class Graphs(NamedTuple):
    """The graphs that a network sees in training, validation and test; one object where they are the same."""

    train: Any
    val: Any
    test: Any


def call_network(model: Module, graph: Any) -> Tensor:
    """Return ``model(graph.x, graph.edge_index)``."""
    if not isinstance(graph.x, Tensor):
        got = type(graph.x).__name__
        raise TypeError(f"`data.x` must be a tensor; got {got}. Convert it with torch.as_tensor.")
    outputs: Tensor = model(graph.x, graph.edge_index)
    return outputs


def check_outputs(model: Module, task: Task, graph: Any) -> None:
    """Raise if the network does not take the data, before any training; the network stays as it is."""
    try:
        with torch.no_grad(), naming("forward", "a function of network and graph"):
            outputs = task.outputs(copy.deepcopy(model).eval(), graph)
    except (RuntimeError, IndexError) as error:
        raise ValueError(
            f"`data` must be what `model` takes; got {error}. Check its features and edges."
        ) from error
    check_type("outputs of `forward`", outputs, Tensor, "Return the network's logits.")


class NodeTask:
    r"""Classes of nodes: cross-entropy of the training nodes, accuracy of the others.

    Parameters
    ----------
    forward : callable, default=call_network
        From network and graph to logits of shape (n_nodes, n_classes).
    inductive : bool, default=False
        Whether training sees the training nodes and the edges between them alone.
    """

    def __init__(self, forward: Forward = call_network, *, inductive: bool = False) -> None:
        self.outputs = forward
        self.inductive = inductive

    def graphs(self, data: Data) -> Graphs:
        """Check the data and return the graph of each split."""
        check_type("data", data, Data, "Pass one graph.")
        for name in ("edge_index", "y", "train_mask", "val_mask", "test_mask"):
            if name not in data:
                raise ValueError(
                    f"`data` must have `{name}`; got {sorted(data.keys())}. Add it, or apply RandomNodeSplit."
                )
        data = _checked_nodes(data)
        for name in ("train_mask", "val_mask"):
            if not bool((data[name] & (data.y >= 0)).any()):
                raise ValueError(
                    f"`data.{name}` must select a labelled node; got none. Labels are -1 where unknown."
                )
        graph = _with_plain_edges(data)
        train = graph.subgraph(graph.train_mask) if self.inductive else graph
        return Graphs(train, graph, graph)

    def loss(self, logits: Tensor, graph: Data, split: str = "train") -> Tensor:
        """Return the mean cross-entropy of the labelled nodes of a split."""
        return cross_entropy(*_labelled(logits, graph, split))

    def divergence(self, teacher: Tensor, logits: Tensor) -> Tensor:
        """Return the mean over all nodes of KL(teacher || student)."""
        return self.divergence_from(teacher)(logits)

    def divergence_from(self, teacher: Tensor) -> Callable[[Tensor], Tensor]:
        """Return the divergence as a function of the student's logits; the teacher is read once."""
        log_target = _log_probabilities(teacher)
        target = log_target.exp()
        return lambda logits: (target * (log_target - _log_probabilities(logits))).sum() / len(logits)

    def agreement(self, one: Tensor, other: Tensor) -> float:
        """Return the share of all nodes for which two networks predict the same class."""
        return float((one.argmax(-1) == other.argmax(-1)).double().mean())

    def score(self, logits: Tensor, graph: Data, split: str) -> float:
        """Return the accuracy of a split; NaN where it has no labelled node."""
        logits, labels = _labelled(logits, graph, split)
        return float((logits.argmax(-1) == labels).double().mean())


class LinkTask:
    """Whether two nodes are linked: the logit is the dot product of their vectors, the measure the AUC.

    Parameters
    ----------
    forward : callable, default=call_network
        From network and graph to vectors of shape (n_nodes, dim).
    """

    def __init__(self, forward: Forward = call_network) -> None:
        self.forward = forward

    def graphs(self, data: tuple[Data, Data, Data]) -> Graphs:
        """Check the data, three graphs as `RandomLinkSplit` makes them."""
        if not isinstance(data, tuple | list) or len(data) != 3:
            raise ValueError(
                f"`data` must be the three graphs of RandomLinkSplit; got {type(data).__name__}. "
                "Pass (train, val, test)."
            )
        for graph in data:
            check_type("data", graph, Data, "Pass (train, val, test) of RandomLinkSplit.")
            if "edge_label" not in graph or graph.edge_label.unique().tolist() != [0, 1]:
                raise ValueError(
                    f"`data` must have `edge_label` of both 0 and 1; got {graph}. Apply RandomLinkSplit."
                )
        return Graphs(*(_with_plain_edges(graph) for graph in data))

    def outputs(self, model: Module, graph: Data) -> Tensor:
        """Return the logit of every labelled pair."""
        vectors = self.forward(model, graph)
        sources, targets = graph.edge_label_index
        return (vectors[sources] * vectors[targets]).sum(-1)

    def loss(self, logits: Tensor, graph: Data, split: str = "train") -> Tensor:
        """Return the mean cross-entropy of the labelled pairs; the split is the graph's own."""
        return binary_cross_entropy_with_logits(logits, graph.edge_label.to(logits.dtype))

    def divergence(self, teacher: Tensor, logits: Tensor) -> Tensor:
        """Return the mean over the labelled pairs of KL(teacher || student)."""
        return self.divergence_from(teacher)(logits)

    def divergence_from(self, teacher: Tensor) -> Callable[[Tensor], Tensor]:
        """Return the divergence as a function of the student's logits; the teacher is read once."""
        target = teacher.sigmoid()
        own = binary_cross_entropy_with_logits(teacher, target)
        return lambda logits: binary_cross_entropy_with_logits(logits, target) - own

    def agreement(self, one: Tensor, other: Tensor) -> float:
        """Return the share of the labelled pairs for which two networks predict the same."""
        return float(((one > 0) == (other > 0)).double().mean())

    def score(self, logits: Tensor, graph: Data, split: str) -> float:
        """Return the area under the ROC curve; the split is the graph's own."""
        _, inverse, counts = logits.double().unique(return_inverse=True, return_counts=True)
        ranks = (counts.cumsum(0) - (counts - 1) / 2)[inverse]  # from 1, the mean of equals
        positive = graph.edge_label > 0
        n_positive = int(positive.sum())
        n_negative = len(positive) - n_positive
        rank_sum = float(ranks[positive].sum())
        return (rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)


Task = NodeTask | LinkTask


def _labelled(logits: Tensor, graph: Data, split: str) -> tuple[Tensor, Tensor]:
    """Return logits and labels of the nodes of a split whose class is known."""
    rows = (graph[f"{split}_mask"] & (graph.y >= 0)).nonzero()[:, 0]
    return logits.index_select(0, rows), graph.y.index_select(0, rows)


def _log_probabilities(logits: Tensor) -> Tensor:
    """Return them with a row a class: torch is ten times faster along the first of two dimensions."""
    return log_softmax(logits.T.contiguous(), 0)


def _checked_nodes(data: Data) -> Data:
    """Return a shallow copy whose labels and masks are tensors of one value a node."""
    if isinstance(data.x, Tensor) and not data.x.ndim:
        raise ValueError("`data.x` must have a row for each node; got shape (). Pass a matrix of features.")
    data, n_nodes = copy.copy(data), data.num_nodes
    for name in ("y", "train_mask", "val_mask", "test_mask"):
        values = check_length(f"data.{name}", check_tensor(f"data.{name}", data[name]), "nodes", n_nodes)
        if name == "y" and (values.is_floating_point() or values.dtype == torch.bool):
            raise TypeError(f"`data.y` must be of an integer dtype; got {values.dtype}. Number the classes.")
        if name != "y" and values.dtype != torch.bool:
            raise TypeError(
                f"`data.{name}` must be of dtype bool; got {values.dtype}. Convert it with .bool()."
            )
        data[name] = values.long() if name == "y" else values
    return data


def _with_plain_edges(data: Data) -> Data:
    """Return a shallow copy whose edges are a tensor, since message hooks see no fused product."""
    edges, _ = read_edge_list(data.edge_index, data.num_nodes)
    graph = copy.copy(data)
    graph.edge_index = edges
    return graph
