"""What a fitted scikit-learn network has learned of its input."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.neural_network import MLPClassifier

Floats = NDArray[np.float64]


def last_hidden_layer(network: MLPClassifier, X: Floats) -> Floats:
    """Return the activations of the last hidden layer of a fitted scikit-learn network."""
    activations: dict[str, Callable[[Floats], Floats]] = {
        "relu": lambda x: np.maximum(x, 0),
        "tanh": np.tanh,
        "logistic": expit,
        "identity": lambda x: x,
    }
    activate = activations[network.activation]
    hidden = X
    for weights, bias in zip(network.coefs_[:-1], network.intercepts_[:-1], strict=True):
        hidden = activate(hidden @ weights + bias)
    return hidden
