"""The page of a label audit: one HTML file that needs no network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from string import Template
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noisy_labels.audits.audit_pictures import inlined, plot_quality, plot_stability, plot_transition
from noisy_labels.audits.benchmark_curves import BenchmarkStability
from noisy_labels.audits.label_audit import SCORES, LabelAudit
from sparse_data.checks import check_count, check_ndim, check_same_length
from sparse_data.type_checks import check_type

LONGEST_TEXT = 300
MOST_PAIRS = 50
SCORE_NAMES = {
    "normalized_margin": "normalized margin",
    "self_confidence": "self-confidence",
    "confidence_weighted_entropy": "confidence-weighted entropy",
}
# Columns of names, which are text even where they are numbers.
_NAMES = ("id", "class", "given_label", "suggested_label")

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #222; }
body { max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.5rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .25rem .7rem; text-align: left; border-bottom: 1px solid #ddd; overflow-wrap: anywhere; }
th { background: #f5f5f5; position: sticky; top: 0; }
td.number, th.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
img { max-width: 100%; }
.headline { font-size: 1.6rem; margin: .2rem 0; }
.note { color: #666; }
label.slider { display: block; margin: 1rem 0; }
input[type=range] { width: 24rem; max-width: 100%; vertical-align: middle; }
</style>
</head>
<body>
<h1>$title</h1>
<p class="headline">$n_expected of $n_rows labels are expected to be wrong: $rate</p>
<p class="note">95 % interval $low to $high labels, of the sampling alone: it knows no errors of the model.
All of it stands and falls with probabilities of models that were not trained on these rows.</p>
<p>$n_flagged labels are flagged. $reason</p>

<h2>Estimated noise</h2>
<p>How labels of each class (row) were given (column), from the calibrated confident joint.</p>
<img src="$transition" alt="Transition matrix of the labels">
<p>Quality of the labels; those on the left are the most doubtful.</p>
<img src="$quality" alt="Histogram of label quality">

<h2>Classes</h2>
$by_class

<h2>Pairs of classes that are mistaken</h2>
$by_pair

<h2>Worst labels</h2>
<p>$shown</p>
<label class="slider">Quality at most <input type="range" id="cut" min="0" max="1" step="0.01" value="1">
<output id="cut-value">1.00</output>: <span id="cut-all">$n_rows</span> of all labels,
<span id="cut-flagged">$n_flagged</span> of the flagged ones</label>
$issues

<h2>Do the scores agree?</h2>
<p>Share of the $n_flagged worst labels that two scores have in common.</p>
$overlap
$stability
<script type="application/json" id="counts">$counts</script>
<script>
"use strict";
const counts = JSON.parse(document.getElementById("counts").textContent);
const cut = document.getElementById("cut");
function show() {
  const step = Math.round(100 * cut.value);
  document.getElementById("cut-value").textContent = (step / 100).toFixed(2);
  document.getElementById("cut-all").textContent = counts.all[step].toLocaleString("en");
  document.getElementById("cut-flagged").textContent = counts.flagged[step].toLocaleString("en");
  for (const row of document.querySelectorAll("#issues tbody tr")) {
    row.hidden = Number(row.dataset.quality) > step / 100;
  }
}
cut.addEventListener("input", show);
show();
</script>
</body>
</html>
""")


def audit_page(
    audit: LabelAudit,
    *,
    title: str = "Label audit",
    texts: ArrayLike | None = None,
    n_worst: int = 200,
    stability: BenchmarkStability | None = None,
) -> str:
    """Return the audit as one HTML page with its pictures inside.

    Parameters
    ----------
    audit : LabelAudit
    title : str, default="Label audit"
    texts : array of shape (n,), optional
        What to show of each row, such as the sentence that was labelled; cut to 300 characters.
    n_worst : int, default=200
        Rows in the table of the worst labels, at most.
    stability : BenchmarkStability, optional
        What became of a comparison of models when the labels were corrected, to be shown too.

    Returns
    -------
    str
        HTML; whatever comes from the data is escaped.

    Raises
    ------
    ImportError
        Without matplotlib.
    ValueError
        If `n_worst` is below 1, or there is not one text a row.
    """
    check_count("n_worst", n_worst)
    check_type("title", title, str, "Pass a text.")
    if stability is not None:
        check_type("stability", stability, BenchmarkStability, "Pass what `benchmark_stability` returned.")
    shown_texts = None if texts is None else check_ndim("texts", texts, 1)
    check_same_length(labels=audit.labels, texts=shown_texts)
    n_rows, n_shown = len(audit.labels), min(n_worst, len(audit.rows))
    return _PAGE.substitute(
        title=escape(title),
        n_rows=f"{n_rows:,}",
        n_expected=f"{audit.count.estimate:,}",
        rate=f"{audit.count.estimate / n_rows:.2%}",
        low=f"{audit.count.low:,}",
        high=f"{audit.count.high:,}",
        n_flagged=f"{len(audit.rows):,}",
        reason=escape(audit.reason[:1].upper() + audit.reason[1:].rstrip(".") + "."),
        transition=inlined(plot_transition(audit)),
        quality=inlined(plot_quality(audit)),
        by_class=_table(_readable(audit.by_class())),
        by_pair=_table(_readable(audit.by_pair()), limit=MOST_PAIRS),
        shown=f"The {n_shown:,} worst of the {len(audit.rows):,} flagged labels.",
        issues=_issues(audit, n_shown, shown_texts),
        overlap=_table(_overlap(audit)),
        stability="" if stability is None else _stability(stability),
        counts=_script_json(_counts(audit)),
    )


def _issues(audit: LabelAudit, n_shown: int, texts: NDArray[Any] | None) -> str:
    columns = {name: column[:n_shown] for name, column in audit.issues().items()}
    quality = columns[SCORES[0]]
    if texts is not None:
        columns["text"] = np.array([_cut(text) for text in texts[audit.rows[:n_shown]]], dtype=object)
    attributes = [f' data-quality="{value:.6f}"' for value in quality]
    return _table(_readable(columns), name="issues", attributes=attributes)


def _stability(stability: BenchmarkStability) -> str:
    first, second, prevalence = zip(*stability.flips, strict=True) if stability.flips else ((), (), ())
    table = _table({"model": first, "other model": second, "order differs from a share of": prevalence})
    return (
        "<h2>Would another model win?</h2>\n<p>Accuracy by labels as given and as corrected, as rightly "
        f"labelled rows are taken away; {stability.prevalence:.2%} of the test labels were corrected.</p>\n"
        f'<img src="{inlined(plot_stability(stability))}" alt="Accuracy of models by wrong labels">\n{table}'
    )


def _overlap(audit: LabelAudit) -> dict[str, Any]:
    names = [SCORE_NAMES[name] for name in audit.scores]
    shares = audit.score_overlap()
    columns: dict[str, Any] = {"": names}
    return columns | {name: shares[:, column] for column, name in enumerate(names)}


def _counts(audit: LabelAudit) -> dict[str, list[int]]:
    """Return how many labels have a quality of at most 0, .01, ..., 1."""
    steps = np.arange(101) / 100
    ordered = np.sort(audit.scores[SCORES[0]])
    flagged = np.sort(audit.scores[SCORES[0]][audit.flagged])
    # As the page compares: rounded to six places.
    return {
        "all": np.searchsorted(ordered, steps + 5e-7, side="right").tolist(),
        "flagged": np.searchsorted(flagged, steps + 5e-7, side="right").tolist(),
    }


def _readable(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return columns under headings for people: names as text, and no row numbers."""
    shown: dict[str, Any] = {}
    for name, column in columns.items():
        if name in _NAMES:
            column = [str(value) for value in column]
        if name != "row":
            shown[SCORE_NAMES.get(name, name.removeprefix("n_")).replace("_", " ")] = column
    return shown


def _table(
    columns: Mapping[str, Any],
    *,
    limit: int | None = None,
    name: str | None = None,
    attributes: Sequence[str] | None = None,
) -> str:
    """Return an HTML table of columns, numbers to the right."""
    n_rows = len(next(iter(columns.values())))
    shown = n_rows if limit is None else min(limit, n_rows)
    numeric = [np.asarray(column).dtype.kind in "iuf" for column in columns.values()]
    kinds = [' class="number"' if number else "" for number in numeric]
    head = "".join(f"<th{kind}>{escape(title)}</th>" for kind, title in zip(kinds, columns, strict=True))
    lines = []
    for row in range(shown):
        cells = "".join(
            f"<td{kind}>{_cell(column[row])}</td>"
            for kind, column in zip(kinds, columns.values(), strict=True)
        )
        lines.append(f"<tr{'' if attributes is None else attributes[row]}>{cells}</tr>")
    rest = "" if shown == n_rows else f'<p class="note">{n_rows - shown:,} more are not shown.</p>'
    mark = "" if name is None else f' id="{name}"'
    body = "\n".join(lines)
    return f"<table{mark}>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>{rest}"


def _cell(value: Any) -> str:
    if isinstance(value, (float, np.floating)):
        return "" if np.isnan(value) else f"{value:.3f}"
    if isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_)):
        return f"{value:,}"
    return escape(str(value))


def _cut(text: Any) -> str:
    whole = str(text)
    return whole if len(whole) <= LONGEST_TEXT else whole[: LONGEST_TEXT - 1] + "…"


def _script_json(value: Any) -> str:
    """Return JSON that cannot end the script that it lies in."""
    return json.dumps(value).replace("<", "\\u003c")
