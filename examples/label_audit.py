"""Which labels of a data set are wrong? An audit of digits, some of them mislabelled on purpose.

Real images and a planted share of wrong labels, so that what the audit finds can be counted; then the same
for the labels as scikit-learn ships them:

    python examples/label_audit.py            # half a minute
    python examples/label_audit.py --fast     # seconds

The folder ``label-audit`` gets the report as one HTML page, with a table of the issues and JSON.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from noisy_labels.audits.audit_files import write_audit
from noisy_labels.audits.label_audit import audit_labels
from noisy_labels.confident_learning.confident_learning_classifier import ConfidentLearningClassifier
from noisy_labels.confident_learning.label_issues import find_label_issues
from noisy_labels.transitions.noise import corrupt_labels


def main() -> None:
    """Corrupt, audit, compare the rules, train on what is left."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fast", action="store_true", help="600 images and a small forest")
    parser.add_argument("--output", default="label-audit", help="folder of the report")
    parser.add_argument("--rate", type=float, default=0.08, help="share of labels made wrong")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    features, true = load_digits(return_X_y=True)
    if options.fast:
        features, true = features[:600], true[:600]
    labels = corrupt_labels(true, options.rate, "asymmetric", random_state=options.seed)
    wrong = labels != true
    print(f"{len(true)} images of digits, {wrong.sum()} labels made wrong")

    # Probabilities of models that have not seen the row: everything rests on that.
    forest = RandomForestClassifier(60 if options.fast else 300, random_state=options.seed)
    pred_probs = cross_val_predict(forest, features, labels, cv=5, method="predict_proba")

    print(f"\n{'rule':22}{'flagged':>8}{'wrong':>8}{'precision':>11}{'recall':>8}")
    for method in ("auto", "cleanlab", "confusion", "confident_joint", "prune_by_class", "both"):
        flagged = find_label_issues(labels, pred_probs, method=method)
        hits = (flagged & wrong).sum()
        print(
            f"{method:22}{flagged.sum():8}{hits:8}"
            f"{hits / max(flagged.sum(), 1):11.3f}{hits / wrong.sum():8.3f}"
        )

    audit = audit_labels(labels, pred_probs, ids=np.char.add("image ", np.arange(len(labels)).astype(str)))
    count = audit.count
    print(f"\n{count.estimate} wrong labels expected ({count.low} to {count.high}); {audit.reason}")
    print("\nThe pairs that are mistaken most:")
    pairs = audit.by_pair()
    for given, suggested, n in list(
        zip(pairs["given_label"], pairs["suggested_label"], pairs["n_flagged"], strict=True)
    )[:5]:
        print(f"  given {given}, rather {suggested}: {n}")
    page = write_audit(audit, options.output, title="Digits with planted errors")[0]
    print(f"\nThe report: {page}")

    # As they are shipped: no errors are known, and few are found.
    shipped = cross_val_predict(forest, features, true, cv=5, method="predict_proba")
    clean = audit_labels(true, shipped)
    print(f"\nLabels as shipped: {clean.count.estimate} of {len(true)} expected wrong; the most doubtful:")
    issues = clean.issues()
    for place in range(min(5, len(issues["row"]))):
        print(
            f"  image {issues['row'][place]}: given {issues['given_label'][place]}, rather "
            f"{issues['suggested_label'][place]} (quality {issues['normalized_margin'][place]:.2f})"
        )

    half = np.arange(len(true)) % 2 == 0
    logistic = LogisticRegression(max_iter=1000)
    plain = logistic.fit(features[half] / 16, labels[half]).score(features[~half] / 16, true[~half])
    cleaned = ConfidentLearningClassifier(logistic, random_state=options.seed)
    cleaned.fit(features[half] / 16, labels[half])
    print(
        f"\nLogistic regression on one half, accuracy on the right labels of the other: {plain:.3f} as "
        f"given, {cleaned.score(features[~half] / 16, true[~half]):.3f} after cleaning"
    )
    print(f"Pictures are inside the page, {Path(page).stat().st_size // 1024} kB.")


if __name__ == "__main__":
    main()
