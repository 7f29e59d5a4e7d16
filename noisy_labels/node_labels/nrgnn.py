"""NRGNN: nodes joined to labelled and confidently predicted ones that are like them (Dai et al., 2021)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module, ModuleDict
from torch.nn.functional import cross_entropy, log_softmax

from noisy_labels.node_labels.candidate_edges import nearest_anchors, new_pairs
from noisy_labels.node_labels.edge_estimator import EdgeEstimator, reconstruction_loss
from noisy_labels.node_labels.graph_network_classifier import GraphNetworkClassifier
from noisy_labels.node_labels.labelled_graph import LabelledGraph, Nodes, Validation, check_same_nodes
from noisy_labels.node_labels.node_training import train_until_best
from sparse_data.checks import check_count, check_in_range

_MINE_EVERY = 10  # epochs, where no validation part tells when the miner has become better


class NRGNNClassifier(GraphNetworkClassifier):
    r"""Train an edge estimator, a miner of pseudo-labels and a classifier together.

    .. math:: L = \mathrm{CE}_f + \mathrm{CE}_p + \alpha L_{rec}
              + \beta \, \mathrm{CE}(f, \text{soft labels of } p)

    The miner p sees the graph with estimated edges from every node to training nodes, the classifier f also
    those from unlabelled nodes to the unlabelled ones that p was surer of than `confidence` when it was
    best in validation.  Candidates are the `n_candidates` most like a node by the cosine of the features:
    memory grows with nodes times candidates, where the authors' code has all pairs.

    Parameters
    ----------
    n_candidates : int, default=10
        The authors take all pairs on small graphs, 50 or 5 on larger ones.
    confidence : float, default=0.8
        In [0, 1).
    reconstruction_weight, pseudo_label_weight : float, default=0.03, 1.0
        α and β.
    n_negatives : int, default=50
        Pairs without an edge, drawn for each node and epoch.
    edge_threshold : float, default=0.1
        Estimated edges below it are left out.
    hidden, dropout, epochs, learning_rate, weight_decay, validation, random_state, verbose
        As for `GraphNetworkClassifier`, which has the attributes too.

    Attributes
    ----------
    model_ : ModuleDict
        "estimator", "miner" and "classifier".
    candidate_pairs_ : int64 tensor of shape (2, n_pairs)
        Those of the classifier in its best epoch.

    References
    ----------
    Dai, Aggarwal and Wang, "NRGNN: learning a label noise-resistant graph neural network on sparsely and
    noisily labeled graphs", 2021, arXiv:2106.04714.

    Examples
    --------
    >>> x, edges = np.repeat(np.eye(2), 3, axis=0), np.array([[0, 1, 3, 4], [1, 0, 4, 3]])
    >>> model = NRGNNClassifier(validation="none", epochs=50, random_state=0)
    >>> model.fit(x, [0, -1, -1, 1, -1, -1], edge_index=edges).predict().tolist()
    [0, 0, 0, 1, 1, 1]
    """

    def __init__(
        self,
        *,
        n_candidates: int = 10,
        confidence: float = 0.8,
        reconstruction_weight: float = 0.03,
        pseudo_label_weight: float = 1.0,
        n_negatives: int = 50,
        edge_threshold: float = 0.1,
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
        self.pseudo_label_weight = pseudo_label_weight
        self.n_negatives = n_negatives
        self.edge_threshold = edge_threshold

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_count("n_candidates", self.n_candidates)
        check_in_range("confidence", self.confidence, 0, 1, closed="left")
        check_in_range("reconstruction_weight", self.reconstruction_weight, 0)
        check_in_range("pseudo_label_weight", self.pseudo_label_weight, 0)
        check_count("n_negatives", self.n_negatives)
        check_in_range("edge_threshold", self.edge_threshold, 0)

    def _fit_graph(self, graph: LabelledGraph) -> None:
        estimator = EdgeEstimator(
            n_features=graph.nodes.x.shape[1],
            hidden=self.hidden,
            threshold=self.edge_threshold,
            unit_length=False,
        ).to(graph.nodes.x.device)
        networks: dict[str, Module] = {
            "estimator": estimator,
            "miner": self._new_network(graph),
            "classifier": self._new_network(graph),
        }
        self.model_ = ModuleDict(networks)
        nodes, mined = self._inputs(graph.nodes), _Mined(graph, self.n_candidates, self.confidence)

        def loss(epoch: int) -> Tensor:
            self._mine(epoch, graph, nodes, mined)
            embeddings = self.model_["estimator"](*nodes)
            miner = self._logits("miner", nodes, embeddings, mined.labelled_pairs)
            classifier = self._logits("classifier", nodes, embeddings, mined.all_pairs)
            total = cross_entropy(classifier[graph.train], graph.codes[graph.train])
            total = total + cross_entropy(miner[graph.train], graph.codes[graph.train])
            rebuilt = reconstruction_loss(embeddings, nodes.edge_index, n_negatives=self.n_negatives)
            total = total + self.reconstruction_weight * rebuilt
            if len(mined.confident):
                agreement = cross_entropy(classifier[mined.confident], mined.soft_labels)
                total = total + self.pseudo_label_weight * agreement
            return total

        def keep() -> None:
            self.candidate_pairs_ = mined.all_pairs

        self.best_epoch_ = train_until_best(
            self.model_,
            graph,
            self._optimization(),
            loss=loss,
            log_probs=lambda: self._log_probs(nodes, mined.all_pairs),
            after_best=keep,
        )

    @torch.no_grad()
    def _mine(self, epoch: int, graph: LabelledGraph, nodes: Nodes, mined: _Mined) -> None:
        """Let the miner name confident nodes where it has become better."""
        if epoch == 0 or (not graph.val.numel() and epoch % _MINE_EVERY):
            return
        self.model_.eval()
        embeddings = self.model_["estimator"](*nodes)
        mined.update(self._logits("miner", nodes, embeddings, mined.labelled_pairs).softmax(dim=1))
        self.model_.train()

    def _logits(self, name: str, nodes: Nodes, embeddings: Tensor, pairs: Tensor) -> Tensor:
        estimator = self.model_["estimator"]
        edges, weights = estimator.extended(embeddings, nodes.edge_index, pairs)
        logits: Tensor = self.model_[name](nodes.x, edges, weights)
        return logits

    def _log_probs(self, nodes: Nodes, pairs: Tensor) -> Tensor:
        embeddings = self.model_["estimator"](*nodes)
        return log_softmax(self._logits("classifier", nodes, embeddings, pairs), dim=1)

    def _probabilities(self, nodes: Nodes) -> Tensor:
        check_same_nodes(nodes, self.n_nodes_)
        inputs = self._inputs(nodes.beside(self.model_))
        return self._log_probs(inputs, self.candidate_pairs_.to(inputs.edge_index.device)).exp()


class _Mined:
    """What the miner has found up to now: confident nodes, their soft labels and candidate edges to them."""

    def __init__(self, graph: LabelledGraph, n_candidates: int, confidence: float) -> None:
        self.graph, self.n_candidates, self.threshold = graph, n_candidates, confidence
        everyone = torch.arange(len(graph.codes), device=graph.codes.device)
        self.labelled_pairs = self._pairs_to(graph.train, everyone)
        self.all_pairs = self.labelled_pairs
        self.confident = graph.train[:0]
        self.soft_labels = torch.zeros(0, graph.classes.size, device=graph.codes.device)
        self.best = -1.0

    def update(self, probabilities: Tensor) -> None:
        """Take the nodes that these predictions are sure of, if they are better in validation."""
        graph = self.graph
        if graph.val.numel():
            right = probabilities[graph.val].argmax(dim=1) == graph.val_codes
            if float(right.double().mean()) <= self.best:
                return
            self.best = float(right.double().mean())
        sure = probabilities[graph.unlabelled].max(dim=1).values > self.threshold
        self.confident = graph.unlabelled[sure]
        self.soft_labels = probabilities[self.confident]
        pairs = self._pairs_to(self.confident, graph.unlabelled)
        self.all_pairs = torch.cat([self.labelled_pairs, pairs], dim=1)

    def _pairs_to(self, anchors: Tensor, nodes: Tensor) -> Tensor:
        x, edge_index = self.graph.nodes
        return new_pairs(nearest_anchors(x, nodes, anchors, k=self.n_candidates), edge_index, n_nodes=len(x))
