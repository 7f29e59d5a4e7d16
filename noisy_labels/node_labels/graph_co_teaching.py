"""Co-teaching on a graph: two networks, each of which learns from what the other finds easy."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module, ModuleList
from torch.nn.functional import cross_entropy

from noisy_labels.node_labels.graph_network_classifier import GraphNetworkClassifier
from noisy_labels.node_labels.labelled_graph import LabelledGraph, Nodes, Validation
from noisy_labels.node_labels.node_networks import NetworkName
from noisy_labels.node_labels.node_training import train_until_best
from noisy_labels.two_networks.forget_schedule import forget_schedule
from sparse_data.checks import check_count, check_in_range


def exchange_small_losses(first: Tensor, second: Tensor, n_kept: int) -> Tensor:
    """Return the mean loss of each network on the rows where the other's loss is smallest, summed.

    Parameters
    ----------
    first, second : float tensors of shape (n,)
        Losses of the two networks.
    n_kept : int

    Examples
    --------
    >>> first, second = torch.tensor([1.0, 5.0]), torch.tensor([4.0, 3.0])
    >>> exchange_small_losses(first, second, 1).item()
    9.0
    """
    easy_for_first = first.detach().argsort(stable=True)[:n_kept]
    easy_for_second = second.detach().argsort(stable=True)[:n_kept]
    return first[easy_for_second].mean() + second[easy_for_first].mean()


class GraphCoTeachingClassifier(GraphNetworkClassifier):
    r"""Train two graph networks, each on the training nodes that the other has the smallest losses on.

    In epoch e the share :math:`R(e) = 1 - \tau \min(e / E_k, 1)` of the training nodes is kept, as all
    labels are fitted late and wrong ones last.  A prediction is the mean of both.

    Parameters
    ----------
    network : {"gcn", "gat"} or Module, default="gcn"
        Of a module both are copies, with the same weights at first: give one with dropout.
    noise_rate : float, default=0.2
        τ in [0, 1): the share of wrong labels.
    ramp_epochs : int, default=10
        E_k: epochs until the full share is left out.
    hidden, dropout, epochs, learning_rate, weight_decay, validation, random_state, verbose
        As for `GraphNetworkClassifier`, which has the attributes too; `model_` holds both networks.

    References
    ----------
    Han et al., "Co-teaching: robust training of deep neural networks with extremely noisy labels", 2018,
    arXiv:1804.06872.

    Examples
    --------
    >>> edges = np.array([[0, 1, 2, 3], [1, 0, 3, 2]])
    >>> model = GraphCoTeachingClassifier(validation="none", noise_rate=0.0, epochs=50, random_state=0)
    >>> model.fit(np.eye(4), [0, -1, 1, -1], edge_index=edges).predict().tolist()
    [0, 0, 1, 1]
    """

    def __init__(
        self,
        network: NetworkName | Module = "gcn",
        *,
        noise_rate: float = 0.2,
        ramp_epochs: int = 10,
        hidden: int = 64,
        dropout: float = 0.5,
        epochs: int = 200,
        learning_rate: float = 0.01,
        weight_decay: float = 5e-4,
        validation: Validation = "noisy",
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(
            network,
            hidden=hidden,
            dropout=dropout,
            epochs=epochs,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            validation=validation,
            random_state=random_state,
            verbose=verbose,
        )
        self.noise_rate = noise_rate
        self.ramp_epochs = ramp_epochs

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_in_range("noise_rate", self.noise_rate, 0, 1, closed="left")
        check_count("ramp_epochs", self.ramp_epochs)

    def _fit_graph(self, graph: LabelledGraph) -> None:
        self.model_ = ModuleList([self._new_network(graph), self._new_network(graph)])
        codes, nodes = graph.codes[graph.train], self._inputs(graph.nodes)
        left_out = forget_schedule(self.epochs, self.noise_rate, n_gradual=self.ramp_epochs)

        def loss(epoch: int) -> Tensor:
            n_kept = max(round((1 - float(left_out[epoch])) * len(codes)), 1)
            first, second = (
                cross_entropy(model(*nodes)[graph.train], codes, reduction="none") for model in self.model_
            )
            return exchange_small_losses(first, second, n_kept)

        self.best_epoch_ = train_until_best(
            self.model_,
            graph,
            self._optimization(),
            loss=loss,
            log_probs=lambda: self._mean_probabilities(nodes).log(),
        )

    def _probabilities(self, nodes: Nodes) -> Tensor:
        return self._mean_probabilities(self._inputs(nodes.beside(self.model_)))

    def _mean_probabilities(self, nodes: Nodes) -> Tensor:
        return torch.stack([model(*nodes).softmax(dim=1) for model in self.model_]).mean(dim=0)
