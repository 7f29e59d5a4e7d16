"""Every estimator of the package runs the checks of scikit-learn somewhere: a new one cannot be forgotten."""

from __future__ import annotations

from pathlib import Path

from sklearn.base import BaseEstimator

import noisy_labels

HERE = Path(__file__).parent
WHERE = {
    "AlternatingMeanMap": "test_label_proportions.py",
    "BagRidge": "test_label_proportions.py",
    "CoTeachingClassifier": "paired_backends_script.py",
    "DivideMixClassifier": "paired_backends_script.py",
    "ConfidentLearningClassifier": "test_confident_learning_classifier.py",
    "LLPBeliefPropagationClassifier": "test_label_proportions.py",
    "LabelProportionsClassifier": "test_label_proportions.py",
    "LaplacianMeanMap": "test_label_proportions.py",
    "MeanMap": "test_label_proportions.py",
    "SmoothedProportions": "test_label_proportions.py",
}


def estimators():
    """Return the classes of the public table that scikit-learn would take for estimators of rows."""
    found = set()
    for name in noisy_labels.__all__:
        value = getattr(noisy_labels, name)
        if isinstance(value, type) and issubclass(value, BaseEstimator) and hasattr(value, "fit"):
            found.add(name)
    return found


def test_every_estimator_is_checked():
    on_graphs = ("ERASE", "Graph", "NRGNN", "RTGNN")  # their X is a graph
    of_rows = {name for name in estimators() if not name.startswith(on_graphs)}
    assert of_rows == set(WHERE)
    for name, file in WHERE.items():
        text = next(HERE.rglob(file)).read_text()
        assert f"{name}(" in text, name
        assert "parametrize_with_checks(" in text or "check_estimator(" in text, file
