"""A graph network trained on the labels as they are: what methods for noisy labels must beat."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import cross_entropy, log_softmax

from noisy_labels.node_labels.labelled_graph import LabelledGraph, Nodes, Validation
from noisy_labels.node_labels.node_classifier import NodeClassifier
from noisy_labels.node_labels.node_networks import NetworkName, build_network, sparse_if_few
from noisy_labels.node_labels.node_training import Optimization, train_until_best
from sparse_data.checks import check_count, check_in_range, check_one_of


class GraphNetworkClassifier(NodeClassifier):
    r"""Minimise the cross-entropy of a graph network on the training nodes, full batch, by Adam.

    .. math:: L = -\frac{1}{|V_{tr}|} \sum_{i \in V_{tr}} \log p_{i \tilde y_i}

    Parameters
    ----------
    network : {"gcn", "gat"} or Module, default="gcn"
        Two layers; a module is copied, called with features and edges and returns a logit a class.
    hidden : int, default=64
    dropout : float, default=0.5
    epochs : int, default=200
    learning_rate : float, default=0.01
    weight_decay : float, default=5e-4
    validation : {"noisy", "clean", "none"}, default="noisy"
        Which labels of the validation nodes choose the epoch: those given, `y_clean`, which nobody has in
        practice, or none, so that the last epoch stays.  See `read_labelled_graph`.
    random_state : int, RandomState or None
    verbose : bool, default=False
        Show a progress bar.

    Attributes
    ----------
    model_ : Module
        In evaluation mode.
    pred_probs_ : float array of shape (n_nodes, n_classes)
        Of the nodes of `fit`.
    classes_ : array of shape (n_classes,)
    best_epoch_ : BestEpoch
        The epoch whose weights were kept and its accuracy in validation.
    n_features_in_ : int

    References
    ----------
    Kipf and Welling, "Semi-supervised classification with graph convolutional networks", 2017,
    arXiv:1609.02907. Veličković et al., "Graph attention networks", 2018, arXiv:1710.10903.

    Examples
    --------
    >>> x = np.eye(6)
    >>> edges = np.array([[0, 1, 2, 3, 4, 5], [1, 2, 0, 4, 5, 3]])
    >>> model = GraphNetworkClassifier(validation="none", epochs=50, random_state=0)
    >>> model.fit(x, [0, -1, -1, 1, -1, -1], edge_index=edges).predict().tolist()
    [0, 0, 0, 1, 1, 1]
    """

    model_: Any

    def __init__(
        self,
        network: NetworkName | Module = "gcn",
        *,
        hidden: int = 64,
        dropout: float = 0.5,
        epochs: int = 200,
        learning_rate: float = 0.01,
        weight_decay: float = 5e-4,
        validation: Validation = "noisy",
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.network = network
        self.hidden = hidden
        self.dropout = dropout
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.validation = validation
        self.random_state = random_state
        self.verbose = verbose

    def _check_parameters(self) -> None:
        if not isinstance(self.network, Module):
            check_one_of("network", self.network, ("gcn", "gat"))
        check_count("hidden", self.hidden)
        check_in_range("dropout", self.dropout, 0, 1, closed="left")
        check_count("epochs", self.epochs)
        check_in_range("learning_rate", self.learning_rate, 0, 1e30, closed="right")
        check_in_range("weight_decay", self.weight_decay, 0)

    def _fit_graph(self, graph: LabelledGraph) -> None:
        self._train(graph)

    def _train(self, graph: LabelledGraph) -> None:
        """Train one network on the loss of this class."""
        model, codes, nodes = self._new_network(graph), graph.codes[graph.train], self._inputs(graph.nodes)
        self.best_epoch_ = train_until_best(
            model,
            graph,
            self._optimization(),
            loss=lambda epoch: self._loss(model(*nodes)[graph.train], codes),
            log_probs=lambda: log_softmax(model(*nodes), dim=1),
        )
        self.model_ = model

    def _loss(self, logits: Tensor, codes: Tensor) -> Tensor:
        return cross_entropy(logits, codes)

    def _new_network(self, graph: LabelledGraph) -> Module:
        """Return an untrained network; one that was given must have an output a class."""
        model = build_network(
            self.network,
            n_features=graph.nodes.x.shape[1],
            hidden=self.hidden,
            n_outputs=graph.classes.size,
            dropout=self.dropout,
        ).to(graph.nodes.x.device)
        with torch.no_grad():
            shape = tuple(model.eval()(*graph.nodes).shape)
        if shape != (len(graph.nodes.x), graph.classes.size):
            raise ValueError(
                f"`network` must return a logit a node and class, shape "
                f"{(len(graph.nodes.x), graph.classes.size)}; got {shape}. Set its number of outputs."
            )
        return model

    def _inputs(self, nodes: Nodes) -> Nodes:
        """Return what the network is called with: a module that was given gets dense features."""
        return nodes if isinstance(self.network, Module) else Nodes(sparse_if_few(nodes.x), nodes.edge_index)

    def _optimization(self) -> Optimization:
        return Optimization(self.epochs, self.learning_rate, self.weight_decay, self.verbose)

    def _probabilities(self, nodes: Nodes) -> Tensor:
        logits: Tensor = self.model_(*self._inputs(nodes.beside(self.model_)))
        return logits.softmax(dim=1)
