"""The gradient of a function with respect to a tensor, in whichever backend Keras runs on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

Tensor = Any  # a tensor of whichever backend Keras runs on


def input_gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return the gradient at `x` of a function whose value is a scalar; within compiled steps, too."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.grad(function)(x)
    if backend == "torch":
        import torch

        with torch.enable_grad():
            at = x.detach().requires_grad_(True)
            return torch.autograd.grad(function(at), at)[0]
    import tensorflow as tf

    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        value = function(x)
    return tape.gradient(value, x)
