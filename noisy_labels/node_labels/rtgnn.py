"""RTGNN: two peers on an extended graph that trust, relabel or doubt each label (Qian et al., 2023)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module, ModuleDict
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from noisy_labels.node_labels.candidate_edges import nearest_anchors, new_pairs
from noisy_labels.node_labels.edge_estimator import EdgeEstimator, reconstruction_loss
from noisy_labels.node_labels.graph_network_classifier import GraphNetworkClassifier
from noisy_labels.node_labels.label_governance import govern_labels, neighbour_divergence
from noisy_labels.node_labels.labelled_graph import LabelledGraph, Nodes, Validation, check_same_nodes
from noisy_labels.node_labels.node_training import train_until_best
from sparse_data.checks import check_count, check_in_range

_PEERS = ("first", "second")


class RTGNNClassifier(GraphNetworkClassifier):
    r"""Train an edge estimator and two peers, which agree on what each training label is worth.

    .. math:: L = \frac{1}{|V_{tr}|} \sum_{i \in V_{tr}} \omega_i \ell_i(\hat y_i)
              + \frac{1}{|V_c|} \sum_{i \in V_c} \ell_i(\bar y_i)
              + \lambda \, (\mathrm{KL}(p^1 \| p^2) + \mathrm{KL}(p^2 \| p^1) + L_{near}) + \alpha L_{rec}

    with :math:`\ell_i = \mathrm{CE}^1_i + \mathrm{CE}^2_i`, weights ω and labels ŷ by `govern_labels`,
    unlabelled nodes :math:`V_c` for which both peers name the class :math:`\bar y` with a probability whose
    product is above `confidence` squared, and `neighbour_divergence` L_near, each edge by its own weight.
    The graph is extended by estimated edges between training and unlabelled nodes alike in features, at
    most `n_candidates` from each: memory grows with nodes times candidates.

    Parameters
    ----------
    n_candidates : int, default=10
        The authors have 100.
    confidence : float, default=0.95
        In (0, 1).
    reconstruction_weight, agreement_weight : float, default=1.0, 0.1
        α and λ.
    n_negatives : int, default=100
        Pairs without an edge, drawn for each node and epoch.
    edge_threshold : float, default=0.05
        Estimated edges below it are left out.
    hidden, dropout, epochs, learning_rate, weight_decay, validation, random_state, verbose
        As for `GraphNetworkClassifier`, which has the attributes too.

    Attributes
    ----------
    model_ : ModuleDict
        "estimator", "first" and "second"; a prediction is the mean of the peers.
    candidate_pairs_ : int64 tensor of shape (2, n_pairs)

    References
    ----------
    Qian, Ying, Hu, Zhou, Chen, Chen and Wu, "Robust training of graph neural networks via noise governance",
    2023, arXiv:2211.06614.

    Examples
    --------
    >>> x, edges = np.repeat(np.eye(2), 3, axis=0), np.array([[0, 1, 3, 4], [1, 0, 4, 3]])
    >>> model = RTGNNClassifier(validation="none", epochs=50, random_state=0)
    >>> model.fit(x, [0, -1, -1, 1, -1, -1], edge_index=edges).predict().tolist()
    [0, 0, 0, 1, 1, 1]
    """

    def __init__(
        self,
        *,
        n_candidates: int = 10,
        confidence: float = 0.95,
        reconstruction_weight: float = 1.0,
        agreement_weight: float = 0.1,
        n_negatives: int = 100,
        edge_threshold: float = 0.05,
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
            "gcn",
            hidden=hidden,
            dropout=dropout,
            epochs=epochs,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            validation=validation,
            random_state=random_state,
            verbose=verbose,
        )
        self.n_candidates = n_candidates
        self.confidence = confidence
        self.reconstruction_weight = reconstruction_weight
        self.agreement_weight = agreement_weight
        self.n_negatives = n_negatives
        self.edge_threshold = edge_threshold

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_count("n_candidates", self.n_candidates)
        check_in_range("confidence", self.confidence, 0, 1, closed="neither")
        check_in_range("reconstruction_weight", self.reconstruction_weight, 0)
        check_in_range("agreement_weight", self.agreement_weight, 0)
        check_count("n_negatives", self.n_negatives)
        check_in_range("edge_threshold", self.edge_threshold, 0)

    def _fit_graph(self, graph: LabelledGraph) -> None:
        estimator = EdgeEstimator(
            n_features=graph.nodes.x.shape[1],
            hidden=self.hidden,
            threshold=self.edge_threshold,
            unit_length=True,
        ).to(graph.nodes.x.device)
        networks: dict[str, Module] = {name: self._new_network(graph) for name in _PEERS}
        self.model_ = ModuleDict({"estimator": estimator, **networks})
        self.candidate_pairs_ = self._candidates(graph)
        nodes = self._inputs(graph.nodes)
        self.best_epoch_ = train_until_best(
            self.model_,
            graph,
            self._optimization(),
            loss=lambda epoch: self._loss_of_peers(graph, nodes, epoch / self.epochs),
            log_probs=lambda: self._mean_probabilities(nodes, self.candidate_pairs_).log(),
        )

    def _candidates(self, graph: LabelledGraph) -> Tensor:
        x, edge_index = graph.nodes
        both = [
            nearest_anchors(x, nodes, anchors, k=self.n_candidates)
            for nodes, anchors in ((graph.train, graph.unlabelled), (graph.unlabelled, graph.train))
        ]
        return new_pairs(torch.cat(both, dim=1), edge_index, n_nodes=len(x))

    def _peers(self, nodes: Nodes, pairs: Tensor) -> tuple[list[Tensor], Tensor, tuple[Tensor, Tensor]]:
        """Return log-probabilities of both peers, embeddings, and the extended graph."""
        estimator = self.model_["estimator"]
        embeddings = estimator(*nodes)
        extended = estimator.extended(embeddings, nodes.edge_index, pairs)
        logits = [self.model_[name](nodes.x, *extended) for name in _PEERS]
        return [log_softmax(values, dim=1) for values in logits], embeddings, extended

    def _loss_of_peers(self, graph: LabelledGraph, nodes: Nodes, progress: float) -> Tensor:
        peers, embeddings, (edges, weights) = self._peers(nodes, self.candidate_pairs_)
        train = [peer[graph.train] for peer in peers]
        first, second = (peer.detach().exp() for peer in train)
        labels, trust = govern_labels(first, second, graph.codes[graph.train], progress=progress)
        losses = [(trust * cross_entropy(peer, labels, reduction="none")).mean() for peer in train]
        rest = [peer[graph.unlabelled] for peer in peers]
        certain = torch.stack([peer.detach().exp() for peer in rest])
        values, named = certain.max(dim=2)
        chosen = (named[0] == named[1]) & (values.prod(dim=0) > self.confidence**2)
        if chosen.any():
            losses += [cross_entropy(peer[chosen], named[0, chosen]) for peer in rest]
        into_train = torch.zeros_like(graph.codes, dtype=torch.bool)
        into_train[graph.train] = True
        near = into_train[edges[1]]
        agreement = [
            kl_div(train[0], train[1], reduction="batchmean", log_target=True),
            kl_div(train[1], train[0], reduction="batchmean", log_target=True),
            *(neighbour_divergence(peer, edges[:, near], weights[near]) for peer in peers),
        ]
        rebuilt = reconstruction_loss(embeddings, nodes.edge_index, n_negatives=self.n_negatives)
        losses += [self.agreement_weight * term for term in agreement]
        return torch.stack([*losses, self.reconstruction_weight * rebuilt]).sum()

    def _mean_probabilities(self, nodes: Nodes, pairs: Tensor) -> Tensor:
        return torch.stack(self._peers(nodes, pairs)[0]).exp().mean(dim=0)

    def _probabilities(self, nodes: Nodes) -> Tensor:
        check_same_nodes(nodes, self.n_nodes_)
        inputs = self._inputs(nodes.beside(self.model_))
        return self._mean_probabilities(inputs, self.candidate_pairs_.to(inputs.edge_index.device))
