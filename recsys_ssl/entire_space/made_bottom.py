"""A bottom that fits between the fields and the towers of a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras


def made_bottom(
    bottom: keras.Layer | Callable[[int, int], keras.Layer],
    *,
    input_width: int,
    num_tasks: int,
) -> Any:
    """Return a layer of the given widths: the one that is given, or what a callable makes.

    Parameters
    ----------
    bottom : keras.Layer or callable
        A layer with ``num_tasks`` and ``output_width``, or a class or function that makes one of an input
        width and a number of tasks.
    input_width, num_tasks : int

    Returns
    -------
    keras.Layer

    Raises
    ------
    ValueError
        If it is for another width or number of tasks.

    Examples
    --------
    >>> from recsys_ssl.entire_space.shared_bottom import SharedBottom
    >>> made_bottom(SharedBottom, input_width=4, num_tasks=2).input_width
    4
    """
    layer: Any = bottom if isinstance(bottom, keras.Layer) else bottom(input_width, num_tasks)
    found = (getattr(layer, "input_width", input_width), layer.num_tasks)
    if found != (input_width, num_tasks):
        raise ValueError(
            f"`bottom` must be made for input_width {input_width} and num_tasks {num_tasks}; got {found[0]} "
            f"and {found[1]}. Pass a class such as MMoE, or functools.partial(MMoE, num_experts=4)."
        )
    return layer
