"""Issues and scores to cleanlab's formats, into its Datalab, and back."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from noisy_labels.audits.label_audit import SCORES, LabelAudit
from noisy_labels.confident_learning.issue_count import num_label_issues
from noisy_labels.confident_learning.label_issues import Method, find_label_issues
from noisy_labels.confident_learning.predicted_probabilities import read_labels_and_probabilities
from noisy_labels.confident_learning.quality_scores import Score, label_quality
from sparse_data.checks import check_finite, check_in_range, check_ndim
from sparse_data.type_checks import check_type

ISSUE_NAME = "confident_label"


class CleanlabIssues(NamedTuple):
    """What `from_cleanlab` found in a table of cleanlab's.

    Attributes
    ----------
    flagged : bool array of shape (n,)
    quality : float array of shape (n,)
        Between 0 (likely wrong) and 1.
    """

    flagged: NDArray[np.bool_]
    quality: NDArray[np.float64]


def to_cleanlab(audit: LabelAudit) -> Any:
    """Return an audit as the table that ``CleanLearning.get_label_issues`` of cleanlab returns.

    ``CleanLearning.fit(X, labels, label_issues=to_cleanlab(audit))`` trains without the flagged rows.

    Parameters
    ----------
    audit : LabelAudit
        Its classes are 0, ..., n_classes - 1 for cleanlab, whatever their names.

    Returns
    -------
    pandas.DataFrame
        One row a label: ``is_label_issue``, ``label_quality``, ``given_label`` and ``predicted_label``, which
        is the suggested one where the row is flagged and the given one elsewhere.

    Raises
    ------
    ImportError
        Without pandas.

    Examples
    --------
    >>> from noisy_labels.audits.label_audit import audit_labels
    >>> pred_probs = [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7], [0.9, 0.1]]
    >>> frame = to_cleanlab(audit_labels([0, 0, 1, 1, 1], pred_probs))
    >>> frame["is_label_issue"].tolist(), frame["predicted_label"].tolist()
    ([False, False, False, False, True], [0, 0, 1, 1, 0])
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError("data frames need pandas: pip install 'sparselabels[recsys]'") from error
    check_type("audit", audit, LabelAudit, "Pass what `audit_labels` returned.")
    given = audit.labels.astype(np.int64)
    predicted = given.copy()
    predicted[audit.rows] = audit.suggested
    return pd.DataFrame(
        {
            "is_label_issue": audit.flagged,
            "label_quality": audit.scores[SCORES[0]],
            "given_label": given,
            "predicted_label": predicted,
        }
    )


def from_cleanlab(issues: Any) -> CleanlabIssues:
    """Read the flags and scores of cleanlab.

    ``audit_labels(labels, pred_probs, flagged=from_cleanlab(lab).flagged)`` reports on them.

    Parameters
    ----------
    issues : Datalab or pandas.DataFrame
        A Datalab that has looked for label issues, or the table of ``CleanLearning.get_label_issues``,
        ``CleanLearning.find_label_issues`` or ``Datalab.get_issues("label")``.

    Returns
    -------
    CleanlabIssues

    Raises
    ------
    TypeError
        If `issues` is neither.
    ValueError
        If columns are missing, or scores lie outside [0, 1].

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"is_label_issue": [False, True], "label_quality": [0.75, 0.25]})
    >>> from_cleanlab(frame).flagged.tolist()
    [False, True]
    """
    frame = issues.get_issues("label") if hasattr(issues, "get_issues") else issues
    if not hasattr(frame, "columns"):
        raise TypeError(
            f"`issues` must be a Datalab or a table of cleanlab's; got {type(issues).__name__}. Call "
            "Datalab.find_issues or CleanLearning.find_label_issues first."
        )
    names = list(frame.columns)
    score = next((name for name in ("label_quality", "label_score") if name in names), None)
    if score is None or "is_label_issue" not in names:
        raise ValueError(
            f"`issues` must have is_label_issue and label_quality or label_score; got {names}. Pass the "
            "table of the label issues."
        )
    quality = check_ndim(score, check_finite(score, frame[score]), 1).astype(np.float64)
    if len(quality):
        check_in_range(score, float(quality.min()), 0, 1)
        check_in_range(score, float(quality.max()), 0, 1)
    flagged = check_ndim("is_label_issue", check_finite("is_label_issue", frame["is_label_issue"]), 1)
    return CleanlabIssues(flagged.astype(np.bool_), quality)


def register_issue_manager() -> type[Any]:
    """Make cleanlab's Datalab look for label issues by our rules, under the name ``confident_label``.

    Then ``lab.find_issues(issue_types={"confident_label": {"pred_probs": pred_probs}})`` does it, with the
    further options ``method`` of `find_label_issues` and ``score`` of `label_quality`; the issues stand
    beside those of cleanlab in its report.

    Returns
    -------
    type
        The issue manager, the same at every call.

    Raises
    ------
    ImportError
        Without cleanlab's extra ``datalab``.

    References
    ----------
    cleanlab, "Advanced data auditing: how to create your own issue manager".
    """
    try:
        import pandas as pd
        from cleanlab.datalab.internal.issue_manager import IssueManager
        from cleanlab.datalab.internal.issue_manager_factory import REGISTRY, register
        from cleanlab.datalab.internal.task import Task
    except ImportError as error:
        raise ImportError("Datalab needs its own extra: pip install 'cleanlab[datalab]'") from error
    known = REGISTRY[Task.CLASSIFICATION].get(ISSUE_NAME)
    if known is not None:
        return known  # type: ignore[no-any-return]

    class ConfidentLabelIssueManager(IssueManager):  # type: ignore[misc]
        """Labels that are likely wrong, by sparselabels."""

        description = "Examples whose given label is likely wrong, by the rules of sparselabels."
        issue_name = ISSUE_NAME
        verbosity_levels: ClassVar[dict[int, list[str]]] = {0: [], 1: [], 2: ["n_expected"], 3: []}

        def find_issues(
            self,
            pred_probs: Any = None,
            method: Method = "auto",
            score: Score = "normalized_margin",
            **_: Any,
        ) -> None:
            if pred_probs is None:
                raise ValueError(
                    f"`pred_probs` must be given for {ISSUE_NAME}; got none. Pass issue_types={{"
                    f'"{ISSUE_NAME}": {{"pred_probs": pred_probs}}}}.'
                )
            given, probabilities = read_labels_and_probabilities(self.datalab.labels, pred_probs)
            flagged = find_label_issues(given, probabilities, method=method)
            quality = label_quality(given, probabilities, score=score)
            columns = {f"is_{ISSUE_NAME}_issue": flagged, self.issue_score_key: quality}
            self.issues = pd.DataFrame(columns)
            self.summary = self.make_summary(score=float(quality.mean()))
            expected = num_label_issues(given, probabilities, random_state=0)
            self.info = {"n_flagged": int(flagged.sum()), "n_expected": expected.estimate}

    return register(ConfidentLabelIssueManager)  # type: ignore[no-any-return]
