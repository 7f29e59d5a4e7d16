"""ERASE of Chen et al. (2024): representations of graph nodes that tolerate wrong labels."""

from __future__ import annotations

import copy
import itertools
import warnings
from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import normalize
from torch.nn.parameter import is_lazy
from torch_geometric.data import Data
from tqdm.auto import trange

from noisy_labels.compression.effective_rank import effective_rank
from noisy_labels.node_labels.erase_encoders import EdgeIndexEncoder, GraphEncoder, LayerName
from noisy_labels.node_labels.erase_training import Recipe, TrainingGraph, embed, train_erase
from noisy_labels.node_labels.labelled_graph import LabelledGraph, Nodes, Validation
from noisy_labels.node_labels.neighbour_sampling import NeighbourGraph
from noisy_labels.node_labels.node_classifier import NodeClassifier
from noisy_labels.node_labels.structural_denoising import denoise_labels
from sparse_data.checks import check_count, check_in_range, check_one_of
from sparse_data.sparse_features import read_features
from sparse_data.type_checks import check_list

# Of the weights in variant "averaged", an epoch: the last fifty or so count.
AVERAGING = 0.98
_LEAST_MASS = 1e-6  # so that alpha = 0 leaves labels to be told from none


class ERASEClassifier(NodeClassifier):
    r"""Classify the nodes of a graph from labels of which many are wrong.

    .. math:: \max_\theta \; \gamma_2 R(Z_\theta) - \gamma_1 R_c(Z_\theta, \hat y)

    Given labels are spread over edges once.  In every epoch, similarity to the prototypes of the classes and
    the spread labels, spread again over the whole graph, give every node a semantic label; the encoder is
    trained to give the nodes of one class a small coding rate, and all nodes together a large one.  A
    logistic regression on the embeddings, fitted to the semantic labels of the training nodes, predicts.

    Parameters
    ----------
    encoder : {"gat", "gcn", "sage"} or Module, default="gat"
        The paper's has attention.  A module is copied and called as ``module(x, edge_index)``; its rows
        should be normalised, as `eps` is meant for rows of L1 norm 1.
    variant : {"paper", "fixed", "averaged"}, default="paper"
        "fixed" makes prototypes once more, from the labelled nodes whose semantic label is the given one, and
        spreads the given labels through the whole graph, starting anew in every step; the paper's form
        changes no label that has no labelled neighbour.  "averaged" is the paper's with predictions by the
        moving average of the weights.
    gamma1, gamma2 : float, default=1.0, 2.0
    eps : float, default=0.05
        The squared precision of the rates.
    alpha : float, default=0.6
        What a node keeps in every step of spreading.
    beta : float, default=0.6
        Weight of spread labels against prototypes.
    steps : int, default=5
        T, of spreading.
    hidden, embedding_dim, heads, dropout : default=256, 512, 8, 0.5
        Of the encoders by name, see `GraphEncoder`.
    epochs : int, default=400
    patience : int or None, default=150
        Epochs without a better validation score after which training ends; None for never.
    learning_rate : float, default=1e-3
    weight_decay : float, default=5e-4
    validation : {"noisy", "clean", "none"}, default="noisy"
        What chooses the epoch: the labels of the validation nodes as given; the clean ones of `y_clean`, as
        in the paper, which nobody has who needs this method; or nothing, and the last epoch counts.  Without
        a validation mask, "noisy" holds out a fifth of each class.
    batch_size : int, optional
        Seeds of a mini-batch; None trains on all nodes at once.
    num_neighbors : sequence of int, default=(10, 10)
        Neighbours sampled for a mini-batch, the last layer first; one for each layer of the encoder.
    random_state : int, RandomState or None
    verbose : bool, default=False
        Whether a progress bar is shown.

    Attributes
    ----------
    classes_ : integer array of shape (n_classes,)
    encoder_ : Module
        Of the best epoch.
    probe_ : LinearProbe
    label_quality_ : float array of shape (n_nodes,)
        Share of the given label in the semantic scores, NaN where none was learned from.
    noisy_idx_ : int64 array
        Nodes whose given label differs from their semantic label.
    semantic_labels_ : integer array of shape (n_nodes,)
    n_denoised_ : int
        Given labels that spreading before training changed.
    pred_probs_ : float array of shape (n_nodes, n_classes)
        Probabilities of all nodes of the training graph.
    effective_rank_ : float
        Of their embeddings.
    validation_ : str
        What chose the epoch.
    validation_score_ : float
        Accuracy on it; NaN without validation.
    best_epoch_ : int
    history_ : list of dict
        "loss" and "val_score" of each epoch.

    References
    ----------
    Chen et al., "ERASE: Error-Resilient Representation Learning on Graphs for Label Noise Tolerance", CIKM
    2024, arXiv:2312.08852.

    Examples
    --------
    >>> pairs = torch.combinations(torch.arange(5))
    >>> edges = torch.cat([pairs, pairs + 5]).T  # two groups of five, all acquainted
    >>> data = Data(torch.eye(10), torch.cat([edges, edges.flip(0)], 1))
    >>> data.y = torch.tensor([0, 0, 0, 1, -1, 1, 1, 1, -1, -1])
    >>> model = ERASEClassifier(epochs=20, hidden=16, embedding_dim=8, validation="none", random_state=0)
    >>> model.fit(data).noisy_idx_.tolist(), model.predict().tolist()
    ([3], [0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    """

    def __init__(
        self,
        encoder: LayerName | Module = "gat",
        *,
        variant: Literal["paper", "fixed", "averaged"] = "paper",
        gamma1: float = 1.0,
        gamma2: float = 2.0,
        eps: float = 0.05,
        alpha: float = 0.6,
        beta: float = 0.6,
        steps: int = 5,
        hidden: int = 256,
        embedding_dim: int = 512,
        heads: int = 8,
        dropout: float = 0.5,
        epochs: int = 400,
        patience: int | None = 150,
        learning_rate: float = 1e-3,
        weight_decay: float = 5e-4,
        validation: Validation = "noisy",
        batch_size: int | None = None,
        num_neighbors: Sequence[int] = (10, 10),
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.encoder = encoder
        self.variant = variant
        self.gamma1 = gamma1
        self.gamma2 = gamma2
        self.eps = eps
        self.alpha = alpha
        self.beta = beta
        self.steps = steps
        self.hidden = hidden
        self.embedding_dim = embedding_dim
        self.heads = heads
        self.dropout = dropout
        self.epochs = epochs
        self.patience = patience
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.validation = validation
        self.batch_size = batch_size
        self.num_neighbors = num_neighbors
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: ArrayLike | None = None, *, edge_index: Any = None) -> Self:
        """Learn from the labelled nodes and the graph.

        Parameters
        ----------
        X : Data, or array of shape (n_nodes, n_features)
            A Data with `x`, `edge_index`, `y` and, optionally, `train_mask`, `val_mask` and `y_clean`.
            Without the first, all labelled nodes that are in no other mask are trained on.
        y : int array of shape (n_nodes,), optional
            With an array: labels, -1 where unknown.
        edge_index : int array of shape (2, n_edges), optional
            With an array; an undirected edge in both directions.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            For parameters out of range, features that are not finite, edges of nodes that do not exist, masks
            that overlap, fewer than two classes, or no node to train on or to validate on.

        Warns
        -----
        UserWarning
            If the embeddings have collapsed to a line.
        """
        if isinstance(X, Data):
            X = _with_disjoint_masks(X)
        return super().fit(X, y, edge_index=edge_index)

    def transform(self, X: Any, *, edge_index: Any = None) -> NDArray[np.float32]:
        """Return the embeddings of all nodes, rows of length 1; arguments as of `predict_proba`."""
        check_is_fitted(self)
        return np.asarray(self._embeddings(self._read_nodes(X, edge_index)).cpu().numpy())

    def _fit_graph(self, graph: LabelledGraph) -> None:
        recipe, data = self._recipe(), TrainingGraph(graph)
        fixed = self.variant == "fixed"
        denoised = denoise_labels(
            data.codes,
            data.neighbours.neighbours,
            n_classes=data.n_classes,
            alpha=self.alpha,
            steps=self.steps,
            whole_graph=fixed,
            normalize=fixed,
        )
        if fixed:  # all labelled nodes have what the paper's form leaves to one without labelled neighbours
            denoised = denoised * max(self.alpha**self.steps, _LEAST_MASS)
        self.n_denoised_ = int((denoised[data.train].argmax(1) != data.codes[data.train]).sum())
        self.encoder_ = self._new_encoder(graph.nodes.x.shape[1]).to(graph.nodes.x.device)
        epochs = trange(self.epochs, desc="ERASE", disable=not self.verbose)
        trained = train_erase(self.encoder_, data, denoised, recipe, epochs)
        self.probe_, self.best_epoch_, self.history_ = trained.probe, trained.epoch, trained.history
        self.validation_, self.validation_score_ = self.validation, trained.val_score
        self._judge_labels(trained.scores.cpu().numpy(), data.codes.cpu().numpy())
        self._guard_rank(self._embeddings(graph.nodes))

    def _probabilities(self, nodes: Nodes) -> Tensor:
        return torch.from_numpy(self.probe_.predict_proba(self._embeddings(nodes).cpu().numpy()))

    def _embeddings(self, nodes: Nodes) -> Tensor:
        block = NeighbourGraph(nodes.edge_index, len(nodes.x)).whole()
        Z = embed(self.encoder_, read_features(nodes.x), [block] * len(self.num_neighbors))
        return normalize(Z, dim=1)

    def _check_parameters(self) -> None:
        self._recipe()
        if isinstance(self.encoder, Module):
            if any(is_lazy(weight) for weight in self.encoder.parameters()):
                raise ValueError(
                    "`encoder` must have weights of known shape; got lazy ones. Call it once on the data."
                )
            return
        check_one_of("encoder", self.encoder, ("gat", "gcn", "sage"), "Or pass a Module.")
        with torch.device("meta"):  # its checks, without drawing a weight
            self._new_encoder(1)

    def _recipe(self) -> Recipe:
        check_one_of("variant", self.variant, ("paper", "fixed", "averaged"))
        check_one_of("validation", self.validation, ("noisy", "clean", "none"))
        for name in ("gamma1", "gamma2", "eps", "learning_rate"):
            check_in_range(name, getattr(self, name), 0, 1e30, closed="right")
        for name in ("alpha", "beta"):
            check_in_range(name, getattr(self, name), 0, 1)
        check_in_range("weight_decay", self.weight_decay, 0)
        check_count("steps", self.steps, minimum=0)
        check_count("epochs", self.epochs)
        if self.patience is not None:
            check_count("patience", self.patience)
        if self.batch_size is not None:
            check_count("batch_size", self.batch_size, minimum=2)
        fanouts = [check_count("num_neighbors", n) for n in check_list("num_neighbors", self.num_neighbors)]
        if isinstance(self.encoder, str) and len(fanouts) != 2:
            raise ValueError(
                f"`num_neighbors` must be of 2 numbers, one a layer; got {len(fanouts)}. Pass (10, 10), say."
            )
        names = ("gamma1", "gamma2", "eps", "alpha", "beta", "steps", "epochs", "patience", "learning_rate")
        values = {name: getattr(self, name) for name in (*names, "weight_decay", "batch_size")}
        averaging = AVERAGING if self.variant == "averaged" else 0.0
        refinements = int(self.variant == "fixed")
        return Recipe(**values, fanouts=fanouts, averaging=averaging, refinements=refinements)

    def _new_encoder(self, n_features: int) -> Module:
        if isinstance(self.encoder, Module):
            return EdgeIndexEncoder(copy.deepcopy(self.encoder))
        return GraphEncoder(
            n_features,
            layer=self.encoder,
            hidden=self.hidden,
            n_outputs=self.embedding_dim,
            heads=self.heads,
            dropout=self.dropout,
        )

    def _judge_labels(self, scores: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
        semantic, known = scores.argmax(axis=1), labels >= 0
        self.semantic_labels_ = self.classes_[semantic]
        self.noisy_idx_ = np.flatnonzero(known & (semantic != labels))
        self.label_quality_ = np.full(len(labels), np.nan)
        shares = scores[known] / scores[known].sum(axis=1, keepdims=True)
        self.label_quality_[known] = shares[np.arange(len(shares)), labels[known]]

    def _guard_rank(self, Z: torch.Tensor) -> None:
        self.effective_rank_ = effective_rank(Z.cpu().numpy())
        if self.effective_rank_ < min(2.0, 0.5 * len(self.classes_) + 0.5):
            warnings.warn(
                f"`encoder` must give embeddings of more than one direction; got an effective rank of "
                f"{self.effective_rank_:.2f}. Normalise its rows, or change `eps` to fit their scale.",
                UserWarning,
                stacklevel=3,
            )


def _with_disjoint_masks(data: Data) -> Data:
    """Return the data with a training mask that leaves the other masks out, or raise where one does not."""
    names = ("train_mask", "val_mask", "test_mask")
    masks = {name: data[name] for name in names if data.get(name) is not None}
    for first, second in itertools.combinations(masks, 2):
        shared = int((masks[first] & masks[second]).sum()) if masks[first].shape == masks[second].shape else 0
        if shared:
            raise ValueError(
                f"`{first}` and `{second}` must be disjoint; got {shared} node(s) in both. "
                "A node that is trained on tells nothing about others."
            )
    others = [mask for name, mask in masks.items() if name != "train_mask"]
    if "train_mask" in masks or not others:
        return data
    data = copy.copy(data)
    data.train_mask = ~torch.stack(others).any(0)
    return data
