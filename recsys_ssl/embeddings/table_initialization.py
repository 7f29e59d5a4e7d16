"""First values of a large table, a block of rows at a time, so that they need no memory of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

Tensor = Any

BLOCK = 2**21  # numbers that are drawn at once: 8 MiB

# Those whose values do not depend on the shape of the whole.
_BY_BLOCK = (
    keras.initializers.Zeros,
    keras.initializers.Ones,
    keras.initializers.Constant,
    keras.initializers.RandomUniform,
    keras.initializers.RandomNormal,
    keras.initializers.TruncatedNormal,
)


def can_be_made_in_blocks(initializer: Any, num_rows: int, dim: int) -> bool:
    """Tell whether a table is large enough for blocks and its initializer gives the same in blocks.

    Parameters
    ----------
    initializer : keras.Initializer
    num_rows, dim : int
    """
    return num_rows * dim > BLOCK and type(initializer) in _BY_BLOCK


def blocks_of_rows(initializer: Any, num_rows: int, dim: int) -> Iterator[tuple[int, Tensor]]:
    """First row and values of each block.

    Every block is a draw of its own.

    Parameters
    ----------
    initializer : keras.Initializer
    num_rows, dim : int

    Yields
    ------
    int, tensor of shape (n, dim)
    """
    height = max(BLOCK // dim, 1)
    for place, start in enumerate(range(0, num_rows, height)):
        values = another_draw(initializer, 0, place)((min(height, num_rows - start), dim), dtype="float32")
        yield start, values


def another_draw(initializer: Any, *number: int) -> Any:
    """Return an initializer of the same distribution that draws other values; other numbers, another draw.

    An initializer of Keras gives the same values at every call.

    Parameters
    ----------
    initializer : keras.Initializer
    *number : int

    Returns
    -------
    keras.Initializer
    """
    config = initializer.get_config() if hasattr(initializer, "get_config") else {}
    if "seed" not in config or not isinstance(initializer.seed, int):
        return initializer
    (seed,) = np.random.SeedSequence([initializer.seed, *number]).generate_state(1)
    return type(initializer).from_config({**config, "seed": int(seed) % 2**31})
