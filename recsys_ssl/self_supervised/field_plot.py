"""A picture of how much the fields of items say about each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recsys_ssl.self_supervised.field_diagnostics import FieldInformation


def plot_field_information(information: FieldInformation, *, ax: Any = None, kind: str = "adjusted") -> Any:
    """Draw mutual information as a heat map with its numbers.

    Parameters
    ----------
    information : FieldInformation
    ax : matplotlib axes, optional
        Where to draw; a new figure when None.
    kind : {"adjusted", "normalized", "nats"}, default="adjusted"
        The first two are on a scale from 0 to 1.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        Without matplotlib.

    Examples
    --------
    >>> import numpy as np
    >>> from recsys_ssl.self_supervised.field_diagnostics import field_information
    >>> items = {"brand": np.array([3, 3, 4, 4]), "colour": np.array([3, 4, 3, 4])}
    >>> figure = plot_field_information(field_information(items))
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['1.00', '0.00', '0.00', '1.00']
    """
    values = information.values_of(kind)
    k = len(information.names)
    axes = _axes(k) if ax is None else ax
    top = 1.0 if kind != "nats" else max(float(values.max(initial=0.0)), 1e-12)
    axes.imshow(values, cmap="Blues", vmin=0.0, vmax=top)
    for row in range(k):
        for column in range(k):
            value = values[row, column]
            color = "white" if value > 0.6 * top else "black"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=color, fontsize=8)
    labels = [
        name + (" (identifier)" if name in information.identifiers else "") for name in information.names
    ]
    axes.set_xticks(range(k), labels, rotation=45, ha="right")
    axes.set_yticks(range(k), labels)
    axes.set_title(f"Mutual information of fields ({kind})")
    return axes.figure


def _axes(k: int) -> Any:
    """Make axes that no global state of pyplot knows of."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("Pictures need matplotlib: pip install 'sparselabels[report]'") from error
    side = 3.0 + 0.6 * k
    return Figure(figsize=(side, side), layout="constrained").subplots()
