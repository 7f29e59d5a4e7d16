"""The gradient of a function with respect to a tensor, in whichever backend Keras runs on."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import keras

Tensor = Any  # a tensor of whichever backend Keras runs on


def input_gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return the gradient at `x` of a function whose value is a scalar; within compiled steps, too."""
    backend: Any = importlib.import_module(keras.backend.backend())  # loaded already: Keras runs on it
    if keras.backend.backend() == "jax":
        return backend.grad(function)(x)
    if keras.backend.backend() == "torch":
        with backend.enable_grad():
            at = x.detach().requires_grad_(True)
            return backend.autograd.grad(function(at), at)[0]
    with backend.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        value = function(x)
    return tape.gradient(value, x)
