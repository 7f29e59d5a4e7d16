"""An audit of labels: how many are wrong, which, of which class, and what they are mistaken for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noisy_labels.confident_learning.confident_counts import calibrate_confident_joint
from noisy_labels.confident_learning.issue_count import IssueCount, num_label_issues
from noisy_labels.confident_learning.label_issues import Method, choose_method, find_label_issues
from noisy_labels.confident_learning.label_scores import read_scores
from noisy_labels.confident_learning.predicted_probabilities import read_labels_and_probabilities
from noisy_labels.confident_learning.quality_scores import Score
from sparse_data.checks import check_ndim, check_no_missing, check_same_length

SCORES: tuple[Score, ...] = ("normalized_margin", "self_confidence", "confidence_weighted_entropy")
_BLOCK = 1 << 22  # probabilities of flagged rows that are copied at a time


@dataclass(frozen=True, eq=False, repr=False)
class LabelAudit:
    """What `audit_labels` found.

    Attributes
    ----------
    classes : array of shape (n_classes,)
    labels : int array of shape (n,)
        Given labels, as positions in `classes`.
    ids : array of shape (n,)
        What the rows are called.
    flagged : bool array of shape (n,)
        Labels that are likely wrong.
    rows : int array of shape (n_issues,)
        Flagged rows, the worst first.
    suggested : int array of shape (n_issues,)
        The most probable other class of each of `rows`.
    scores : dict of str to float array of shape (n,)
        Quality of each label by three formulas, see `label_quality`; rows are ranked by the first.
    count : IssueCount
        Expected number of wrong labels, with an interval.
    thresholds : float array of shape (n_classes,)
        Mean self-confidence of each class.
    joint : int64 array of shape (n_classes, n_classes)
        Calibrated confident joint: rows given as i that are of class j.
    reason : str
        How the flags were chosen.
    """

    classes: NDArray[Any]
    labels: NDArray[Any]
    ids: NDArray[Any]
    flagged: NDArray[np.bool_]
    rows: NDArray[np.intp]
    suggested: NDArray[np.intp]
    scores: dict[str, NDArray[Any]]
    count: IssueCount
    thresholds: NDArray[np.float64]
    joint: NDArray[np.int64]
    reason: str

    @property
    def transition(self) -> NDArray[np.float64]:
        """T, P(given j | true i), of the joint; a class that nothing is confidently of keeps its label."""
        totals = self.joint.sum(axis=0)[:, None]
        return np.where(totals > 0, self.joint.T / np.maximum(totals, 1), np.eye(len(self.joint)))

    def issues(self) -> dict[str, NDArray[Any]]:
        """Return the flagged rows in columns, the worst first.

        Returns
        -------
        dict of arrays of shape (n_issues,)
            ``row``, ``id``, ``given_label``, ``suggested_label`` and one column a score.
        """
        named = {
            "row": self.rows,
            "id": self.ids[self.rows],
            "given_label": self.classes[self.labels[self.rows]],
            "suggested_label": self.classes[self.suggested],
        }
        return named | {name: score[self.rows] for name, score in self.scores.items()}

    def by_class(self) -> dict[str, NDArray[Any]]:
        """Return one row a class, those with the largest share of flagged labels first.

        Returns
        -------
        dict of arrays of shape (n_classes,)
            ``class``; ``n_given``, ``n_flagged`` and ``share_flagged``; ``n_wrong_expected``, labels of this
            class that should be others; ``n_missing_expected``, labels of others that should be this class;
            ``threshold``.
        """
        n_given = np.bincount(self.labels, minlength=len(self.classes))
        n_flagged = np.bincount(self.labels[self.flagged], minlength=len(self.classes))
        diagonal = self.joint.diagonal()
        columns = {
            "class": self.classes,
            "n_given": n_given,
            "n_flagged": n_flagged,
            "share_flagged": n_flagged / np.maximum(n_given, 1),
            "n_wrong_expected": self.joint.sum(axis=1) - diagonal,
            "n_missing_expected": self.joint.sum(axis=0) - diagonal,
            "threshold": self.thresholds,
        }
        order = np.argsort(-columns["share_flagged"], kind="stable")
        return {name: column[order] for name, column in columns.items()}

    def by_pair(self) -> dict[str, NDArray[Any]]:
        """Return the pairs of classes that are mistaken, the most frequent first.

        Returns
        -------
        dict of arrays of shape (n_pairs,)
            ``given_label``, ``suggested_label``, ``n_flagged`` and ``n_expected``, by the joint.
        """
        n_classes = len(self.classes)
        cells = self.labels[self.rows].astype(np.int64) * n_classes + self.suggested
        n_flagged = np.bincount(cells, minlength=n_classes**2).reshape(n_classes, n_classes)
        expected = self.joint - np.diag(self.joint.diagonal())
        given, suggested = np.nonzero(n_flagged + expected)
        order = np.lexsort((-expected[given, suggested], -n_flagged[given, suggested]))
        given, suggested = given[order], suggested[order]
        return {
            "given_label": self.classes[given],
            "suggested_label": self.classes[suggested],
            "n_flagged": n_flagged[given, suggested],
            "n_expected": expected[given, suggested],
        }

    def score_overlap(self) -> NDArray[np.float64]:
        """Return which share of the worst rows two scores have in common, shape (n_scores, n_scores).

        As many rows as are flagged; NaN where none is.
        """
        n_worst, names = len(self.rows), list(self.scores)
        worst = {name: set(np.argsort(self.scores[name], kind="stable")[:n_worst].tolist()) for name in names}
        return np.array(
            [[len(worst[a] & worst[b]) / n_worst if n_worst else np.nan for b in names] for a in names]
        )

    def to_frame(self) -> Any:
        """Return `issues` as a pandas DataFrame."""
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError("data frames need pandas: pip install 'sparselabels[recsys]'") from error
        return pd.DataFrame(self.issues())


def audit_labels(
    labels: ArrayLike,
    pred_probs: ArrayLike,
    *,
    classes: Sequence[Any] | None = None,
    ids: ArrayLike | None = None,
    method: Method = "auto",
    flagged: ArrayLike | None = None,
    random_state: int | np.random.Generator | None = 0,
) -> LabelAudit:
    r"""Find the labels that are likely wrong and gather what is known of the noise.

    The expected number of wrong labels is :math:`\sum_{i \ne j} \tilde C_{ij}` of the calibrated confident
    joint, see `num_label_issues`.  `noisy_labels.write_audit` writes the result as a page, as JSON and as a
    table.

    Parameters
    ----------
    labels : array of shape (n,)
        Given labels: columns of `pred_probs`, or values of `classes`.
    pred_probs : array of shape (n, n_classes)
        Out-of-sample predicted probabilities; a memory map will do.
    classes : sequence of length n_classes, optional
        The label of each column; by default its number.
    ids : array of shape (n,), optional
        What the rows are called in the report, such as file names; by default their numbers.
    method : str, default="auto"
        See `find_label_issues`.
    flagged : bool array of shape (n,), optional
        Issues that were found elsewhere, such as with cleanlab; `method` is not used then.
    random_state : int or Generator, default=0
        Of the interval.

    Returns
    -------
    LabelAudit

    Raises
    ------
    TypeError, ValueError
        If the input is no set of labels with a matrix of probabilities, or lengths differ.

    References
    ----------
    Northcutt, Jiang, Chuang (2021), arXiv:1911.00068; Northcutt, Athalye, Mueller (2021), arXiv:2103.14749.

    Examples
    --------
    >>> pred_probs = [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7], [0.9, 0.1]]
    >>> audit = audit_labels(["cat", "cat", "dog", "dog", "dog"], pred_probs, classes=["cat", "dog"])
    >>> {name: column.tolist() for name, column in audit.by_pair().items()}
    {'given_label': ['dog'], 'suggested_label': ['cat'], 'n_flagged': [1], 'n_expected': [1]}
    """
    given, probabilities = read_labels_and_probabilities(labels, pred_probs, classes)
    probabilities, scored = read_scores(given, probabilities, "paper")
    n_rows, n_classes = probabilities.shape
    names = np.arange(n_classes) if classes is None else np.asarray(classes)
    row_ids = np.arange(n_rows) if ids is None else check_no_missing("ids", check_ndim("ids", ids, 1))
    check_same_length(labels=given, ids=row_ids)
    mask, reason = _flags(given, probabilities, method, flagged)
    calibrated = calibrate_confident_joint(scored.joint, np.bincount(given, minlength=n_classes))
    scores: dict[str, NDArray[Any]] = {name: getattr(scored, name) for name in SCORES}
    rows = np.flatnonzero(mask)
    rows = rows[np.argsort(scores[SCORES[0]][rows], kind="stable")]
    return LabelAudit(
        classes=names,
        labels=given,
        ids=row_ids,
        flagged=mask,
        rows=rows,
        suggested=_other_classes(given, probabilities, rows),
        scores=scores,
        count=num_label_issues(given, probabilities, random_state=random_state),
        thresholds=scored.thresholds,
        joint=calibrated,
        reason=reason,
    )


def _flags(
    labels: NDArray[Any], pred_probs: NDArray[Any], method: Method, flagged: ArrayLike | None
) -> tuple[NDArray[np.bool_], str]:
    """Return the flags and why they were chosen."""
    if flagged is not None:
        mask = check_ndim("flagged", flagged, 1)
        if mask.dtype != np.bool_:
            raise TypeError(
                f"`flagged` must be a bool array; got dtype {mask.dtype}. Turn positions into a mask."
            )
        check_same_length(labels=labels, flagged=mask)
        return mask, "the flags were given"
    if isinstance(method, str) and method == "auto":
        chosen = choose_method(labels, pred_probs)
        return chosen.flagged, chosen.cut_off.reason
    return find_label_issues(labels, pred_probs, method=method), f"flagged by the rule {method}"


def _other_classes(
    labels: NDArray[Any], pred_probs: NDArray[Any], rows: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Return the most probable class of each row besides the given one, the given one if there is none."""
    found = np.empty(len(rows), dtype=np.intp)
    step = max(1, _BLOCK // pred_probs.shape[1])
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        block = np.array(pred_probs[part], dtype=np.float64)
        block[np.arange(len(part)), labels[part]] = -1
        found[start : start + step] = block.argmax(axis=1)
    return found
