"""Pictures of a label audit."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np

from noisy_labels.audits.benchmark_curves import BenchmarkStability
from noisy_labels.audits.label_audit import SCORES, LabelAudit

# Beyond these numbers of classes, cells and axes are too small for text.
MOST_NUMBERS, MOST_NAMES = 15, 50


def plot_transition(audit: LabelAudit) -> Any:
    """Draw the estimated transition matrix; the diagonal is left blank, for it would drown the rest.

    Parameters
    ----------
    audit : LabelAudit

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> from noisy_labels.audits.label_audit import audit_labels
    >>> pred_probs = [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7], [0.9, 0.1]]
    >>> plot_transition(audit_labels([0, 0, 1, 1, 1], pred_probs)).axes[0].get_xlabel()
    'given label'
    """
    n_classes = len(audit.classes)
    side = min(11.0, 4.5 + 0.35 * min(n_classes, 20))
    figure = _figure(side + 1, side)
    axes = figure.subplots()
    percent = 100 * audit.transition
    shown = np.ma.masked_array(percent, np.eye(n_classes, dtype=bool))
    picture = axes.imshow(shown, cmap="YlOrRd", vmin=0, vmax=max(1.0, float(shown.max() or 0)))
    figure.colorbar(picture, ax=axes, label="labels of the true class that were given so, %")
    if n_classes <= MOST_NUMBERS:
        for i, j in np.ndindex(n_classes, n_classes):
            shade = "gray" if i == j else "white" if percent[i, j] > 0.6 * picture.norm.vmax else "black"
            axes.text(j, i, f"{percent[i, j]:.1f}", ha="center", va="center", fontsize=8, color=shade)
    if n_classes <= MOST_NAMES:
        names = [_plain(name) for name in audit.classes]
        axes.set_xticks(range(n_classes), names, rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
        axes.set_yticks(range(n_classes), names, fontsize=8)
    axes.set_xlabel("given label")
    axes.set_ylabel("true class, as estimated")
    return figure


def plot_quality(audit: LabelAudit) -> Any:
    """Draw how label quality is spread over all labels and over the flagged ones.

    Parameters
    ----------
    audit : LabelAudit

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = _figure(8, 3.5)
    axes = figure.subplots()
    quality, edges = audit.scores[SCORES[0]], np.linspace(0, 1, 51)
    axes.hist(quality, edges, color="lightgray", label=f"all {len(quality):,} labels")
    axes.hist(quality[audit.flagged], edges, color="tab:red", label=f"{len(audit.rows):,} flagged")
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.7)
    axes.set_xlim(0, 1)
    axes.set_xlabel("label quality (normalized margin)")
    axes.set_ylabel("labels")
    axes.legend()
    return figure


def plot_stability(stability: BenchmarkStability) -> Any:
    """Draw the accuracy of each model by the share of labels that are wrong.

    Parameters
    ----------
    stability : BenchmarkStability

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = _figure(8, 4)
    axes = figure.subplots()
    for place, name in enumerate(stability.names):
        color = f"C{place % 10}"
        axes.plot(stability.prevalences, stability.corrected[place], color=color, label=_plain(name))
        axes.plot(stability.prevalences, stability.given[place], color=color, linestyle=":")
    for _, _, prevalence in stability.flips:
        axes.axvline(prevalence, color="lightgray", zorder=0)
    axes.set_xlabel("share of the test labels that were wrong")
    axes.set_ylabel("accuracy, dotted: by the labels as given")
    axes.legend(fontsize=8)
    return figure


def inlined(figure: Any) -> str:
    """Return a figure as the address of an image that lies in the address itself.

    Parameters
    ----------
    figure : matplotlib.figure.Figure

    Returns
    -------
    str
        ``data:image/png;base64,...``
    """
    file = io.BytesIO()
    # Without the version of matplotlib: the same audit is the same file.
    figure.savefig(file, format="png", dpi=110, metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _plain(name: object) -> str:
    """Return a name without what matplotlib takes for mathematics, cut to a length that fits an axis."""
    text = str(name).replace("$", r"\$")
    return text if len(text) <= 24 else text[:23] + "…"


def _figure(width: float, height: float) -> Any:
    """Make a figure that no global state of pyplot knows of."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("Pictures need matplotlib: pip install 'sparselabels[report]'") from error
    return Figure(figsize=(width, height), layout="constrained")
