"""What classifiers of a graph's nodes share: how `fit` reads a graph, predictions, what is kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from noisy_labels.node_labels.labelled_graph import (
    LabelledGraph,
    Nodes,
    Validation,
    read_labelled_graph,
    read_nodes,
)
from noisy_labels.node_labels.node_training import seeded
from sparse_data.type_checks import random_state_of

Floats = NDArray[np.float64]


class NodeClassifier(ClassifierMixin, BaseEstimator, ABC):
    """A classifier of nodes that is fitted to one graph, some of whose nodes have labels."""

    classes_: NDArray[Any]
    pred_probs_: Floats
    n_features_in_: int
    n_nodes_: int
    validation: Validation
    random_state: int | np.random.RandomState | None

    def fit(self, X: Any, y: ArrayLike | None = None, *, edge_index: Any = None) -> Self:
        """Fit to a graph.

        Parameters
        ----------
        X : Data, or array of shape (n_nodes, n_features)
            A Data with `x`, `edge_index`, `y` and, optionally, `train_mask`, `val_mask` and `y_clean`.
        y : int array of shape (n_nodes,), optional
            With an array: labels, -1 where unknown.
        edge_index : int array of shape (2, n_edges), optional
            With an array.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            For parameters out of their range, features that are not finite, edges of nodes that do not
            exist, masks of another length, no training node, or labels of one class only.
        """
        self._check_parameters()
        state = random_state_of("random_state", self.random_state)
        seed = int(state.randint(np.iinfo(np.int32).max))
        graph = read_labelled_graph(X, y, edge_index, validation=self.validation, seed=seed)
        self.classes_ = graph.classes
        self.n_nodes_, self.n_features_in_ = graph.nodes.x.shape
        with seeded(seed, graph.nodes.x.device):
            self._fit_graph(graph)
        with torch.no_grad():
            self.pred_probs_ = self._probabilities(graph.nodes).double().cpu().numpy()
        return self

    def predict_proba(self, X: Any = None, *, edge_index: Any = None) -> Floats:
        """Return P(class) of each node, shape (n_nodes, n_classes).

        Parameters
        ----------
        X : Data, or array of shape (n_nodes, n_features), optional
            The graph of `fit` when None.
        edge_index : int array of shape (2, n_edges), optional
            With an array.
        """
        check_is_fitted(self)
        if X is None:
            return self.pred_probs_
        nodes = self._read_nodes(X, edge_index)
        with torch.no_grad():
            return np.asarray(self._probabilities(nodes).double().cpu().numpy())

    def predict(self, X: Any = None, *, edge_index: Any = None) -> NDArray[Any]:
        """Return the likeliest class of each node, shape (n_nodes,); arguments as of `predict_proba`."""
        codes = self.predict_proba(X, edge_index=edge_index).argmax(axis=1)
        return np.asarray(self.classes_[codes])

    def _read_nodes(self, X: Any, edge_index: Any) -> Nodes:
        nodes = read_nodes(X, edge_index)
        if nodes.x.shape[1] != self.n_features_in_:
            raise ValueError(
                f"`X` must have {self.n_features_in_} features, as in `fit`; got {nodes.x.shape[1]}. "
                "Build them in the same way."
            )
        return nodes

    @abstractmethod
    def _check_parameters(self) -> None:
        """Raise for a parameter out of its range."""

    @abstractmethod
    def _fit_graph(self, graph: LabelledGraph) -> None:
        """Train; torch's generator is seeded."""

    @abstractmethod
    def _probabilities(self, nodes: Nodes) -> Tensor:
        """Return P(class), shape (n_nodes, n_classes)."""
