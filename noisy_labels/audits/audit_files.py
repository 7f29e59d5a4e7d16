"""The files of a label audit: a page, a table of the issues, and JSON."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from noisy_labels.audits.audit_page import audit_page
from noisy_labels.audits.benchmark_curves import BenchmarkStability
from noisy_labels.audits.label_audit import LabelAudit
from sparse_data.type_checks import check_type

PAGE, TABLE, DATA = "label_audit.html", "label_issues.csv", "label_audit.json"


def write_audit(
    audit: LabelAudit,
    folder: str | os.PathLike[str],
    *,
    title: str = "Label audit",
    texts: ArrayLike | None = None,
    n_worst: int = 200,
    stability: BenchmarkStability | None = None,
) -> list[Path]:
    """Write an audit for people, for spreadsheets and for programs.

    Parameters
    ----------
    audit : LabelAudit
    folder : path
        Made when absent; files of an earlier audit in it are replaced.
    title, texts, n_worst, stability
        See `audit_page`.

    Returns
    -------
    list of Path
        ``label_audit.html``, ``label_issues.csv`` with every flagged row, and ``label_audit.json``.

    Raises
    ------
    ImportError
        Without matplotlib.
    ValueError
        As `audit_page`; nothing is written then.
    """
    page = audit_page(audit, title=title, texts=texts, n_worst=n_worst, stability=stability)
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    (target / PAGE).write_text(page, encoding="utf-8")
    with (target / TABLE).open("w", newline="", encoding="utf-8") as file:
        columns = audit.issues()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))
    (target / DATA).write_text(json.dumps(audit_summary(audit), indent=1), encoding="utf-8")
    return [target / name for name in (PAGE, TABLE, DATA)]


def audit_summary(audit: LabelAudit) -> dict[str, Any]:
    """Return an audit in what JSON has: numbers, strings, lists and dicts.

    Parameters
    ----------
    audit : LabelAudit

    Returns
    -------
    dict
        ``n_rows``, ``n_flagged``, ``n_expected`` with ``low`` and ``high``, ``reason``, ``classes``,
        ``joint``, ``transition``, ``score_overlap``, and the columns of ``by_class``, ``by_pair`` and
        ``issues``.

    Examples
    --------
    >>> from noisy_labels.audits.label_audit import audit_labels
    >>> pred_probs = [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7], [0.9, 0.1]]
    >>> summary = audit_summary(audit_labels([0, 0, 1, 1, 1], pred_probs))
    >>> summary["n_expected"], summary["issues"]["row"], summary["issues"]["suggested_label"]
    ({'estimate': 1, 'low': 0, 'high': 3}, [4], [0])
    """
    check_type("audit", audit, LabelAudit, "Pass what `audit_labels` returned.")
    return {
        "n_rows": len(audit.labels),
        "n_flagged": len(audit.rows),
        "n_expected": audit.count._asdict(),
        "reason": audit.reason,
        "classes": audit.classes.tolist(),
        "joint": audit.joint.tolist(),
        "transition": audit.transition.tolist(),
        "score_overlap": np.nan_to_num(audit.score_overlap(), nan=1.0).tolist(),
        "by_class": _lists(audit.by_class()),
        "by_pair": _lists(audit.by_pair()),
        "issues": _lists(audit.issues()),
    }


def _lists(columns: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {name: column.tolist() for name, column in columns.items()}
