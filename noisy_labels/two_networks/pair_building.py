"""Two networks of one design that differ by their random weights alone."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from noisy_labels.two_networks.paired_networks import PairedNetworks


def build_pair(
    build_model: Callable[[tuple[int, ...]], keras.Model],
    input_shape: tuple[int, ...],
    n_classes: int,
    *,
    compression: keras.layers.Layer | None = None,
    seed: int = 0,
) -> PairedNetworks:
    """Build two networks that differ by their random weights alone.

    Parameters
    ----------
    build_model : callable
        From the shape of an input, without the batch, to a Sequential or functional model with
        features of shape (n, D).
    input_shape : tuple of int
    n_classes : int
    compression : keras.layers.Layer, optional
        Taken as it is, not copied.
    seed : int, default=0
        Of all initial weights and masks that carry no seed of their own.

    Returns
    -------
    PairedNetworks

    Raises
    ------
    TypeError, ValueError
        If `build_model` gives no such model, or gives the same weights twice.

    Examples
    --------
    >>> def build_model(shape):
    ...     return keras.Sequential([keras.Input(shape), keras.layers.Dense(4, activation="relu")])
    >>> build_pair(build_model, (2,), 3)(np.zeros((5, 2), dtype="float32")).shape[1]
    3
    """
    # Keras draws the seeds of what has none from this generator, which is given back as it was.
    state = random.getstate()
    try:
        random.seed(seed)
        first, second = (_checked(build_model(input_shape)) for _ in range(2))
        networks = PairedNetworks(first, second, n_classes, compression=compression, seed=seed)
    finally:
        random.setstate(state)
    weights = list(zip(first.get_weights(), second.get_weights(), strict=True))
    if weights and all(np.array_equal(one, other) for one, other in weights):
        raise ValueError(
            "`build_model` must give networks with different weights; got the same twice. Leave the seeds of "
            "its initializers to None."
        )
    return networks


def _checked(network: Any) -> keras.Model:
    if not isinstance(network, keras.Model) or not network.built:
        raise TypeError(
            f"`build_model` must return a built keras.Model; got {network!r}. Start it with "
            "keras.Input(shape)."
        )
    shape = getattr(network, "output_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 2 or shape[-1] is None:
        raise ValueError(
            f"`build_model` must return features of shape (n, D); got {shape}. Build a Sequential or "
            "functional model that ends with Flatten, pooling or Dense, without the classifier."
        )
    return network
