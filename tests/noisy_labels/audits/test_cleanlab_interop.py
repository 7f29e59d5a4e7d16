"""Issues and scores to cleanlab and back; what needs cleanlab is skipped without it."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest

from noisy_labels.audits import cleanlab_interop
from noisy_labels.audits.cleanlab_interop import (
    from_cleanlab,
    register_issue_manager,
    to_cleanlab,
)
from noisy_labels.audits.label_audit import audit_labels
from noisy_labels.confident_learning.label_issues import find_label_issues
from noisy_labels.confident_learning.quality_scores import label_quality

NAMES = np.array(["a", "b", "c"])


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(0)
    true = rng.integers(0, 3, 300)
    probs = rng.dirichlet(np.ones(3), 300) * 0.4
    probs[np.arange(300), true] += 0.6
    labels = np.where(np.arange(300) < 30, (true + 1) % 3, true)
    features = rng.normal(size=(300, 3)) + 2 * np.eye(3)[true]
    return labels, probs, features, true


def test_table_of_an_audit(case):
    labels, probs, _, _ = case
    audit = audit_labels(NAMES[labels], probs, classes=NAMES)
    frame = to_cleanlab(audit)
    assert frame["is_label_issue"].tolist() == find_label_issues(labels, probs).tolist()
    np.testing.assert_array_equal(frame["label_quality"], label_quality(labels, probs))
    assert frame["given_label"].tolist() == labels.tolist()
    flagged = audit.flagged
    assert frame["predicted_label"][flagged].tolist() == probs[flagged].argmax(axis=1).tolist()
    assert frame["predicted_label"][~flagged].tolist() == labels[~flagged].tolist()
    back = from_cleanlab(frame)
    np.testing.assert_array_equal(back.flagged, flagged)
    np.testing.assert_array_equal(back.quality, label_quality(labels, probs))


def test_clean_learning_trains_without_our_issues(case):
    classification = pytest.importorskip("cleanlab.classification")
    from sklearn.linear_model import LogisticRegression

    labels, probs, features, _ = case
    frame = to_cleanlab(audit_labels(labels, probs))
    theirs = classification.CleanLearning(LogisticRegression(), seed=0)
    theirs.fit(features, labels, label_issues=frame)
    kept = ~frame["is_label_issue"].to_numpy()
    ours = LogisticRegression().fit(features[kept], labels[kept])
    np.testing.assert_array_equal(theirs.predict(features), ours.predict(features))


def test_issues_of_clean_learning(case):
    classification = pytest.importorskip("cleanlab.classification")
    labels, probs, _, _ = case
    frame = classification.CleanLearning().find_label_issues(labels=labels, pred_probs=probs)
    found = from_cleanlab(frame)
    audit = audit_labels(labels, probs, flagged=found.flagged)
    assert sorted(audit.rows.tolist()) == np.flatnonzero(frame["is_label_issue"]).tolist()
    np.testing.assert_allclose(found.quality, label_quality(labels, probs, score="self_confidence"))


@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.rename")  # of cleanlab itself
def test_datalab_both_ways(case, capsys):
    pytest.importorskip("cleanlab")
    pytest.importorskip("datasets")
    from cleanlab import Datalab

    labels, probs, _, _ = case
    manager = register_issue_manager()
    assert register_issue_manager() is manager
    lab = Datalab({"label": NAMES[labels]}, label_name="label", verbosity=0)
    lab.find_issues(pred_probs=probs, issue_types={"label": {}})
    options = {"pred_probs": probs, "method": "cleanlab", "score": "self_confidence"}
    lab.find_issues(issue_types={"confident_label": options})
    ours, theirs = lab.get_issues("confident_label"), from_cleanlab(lab)
    np.testing.assert_array_equal(ours["is_confident_label_issue"], theirs.flagged)
    np.testing.assert_allclose(ours["confident_label_score"], theirs.quality)
    summary = lab.get_issue_summary("confident_label")
    assert summary["num_issues"].item() == theirs.flagged.sum()
    lab.report(verbosity=0)
    assert "confident_label issues" in capsys.readouterr().out


def test_without_cleanlab(monkeypatch):
    monkeypatch.setitem(sys.modules, "cleanlab.datalab.internal.issue_manager", None)
    with pytest.raises(ImportError, match=r"pip install 'cleanlab\[datalab\]'"):
        cleanlab_interop.register_issue_manager()


def test_bad_tables():
    with pytest.raises(TypeError, match="`issues` must be a Datalab or a table of cleanlab's; got list"):
        from_cleanlab([True, False])
    with pytest.raises(
        ValueError, match="`issues` must have is_label_issue and label_quality or label_score"
    ):
        from_cleanlab(pd.DataFrame({"is_label_issue": [True]}))
    with pytest.raises(ValueError, match="`label_score` must be in"):
        from_cleanlab(pd.DataFrame({"is_label_issue": [True], "label_score": [2.0]}))
