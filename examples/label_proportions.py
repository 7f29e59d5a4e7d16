"""Learning from the counts of groups: what is left of a classifier when labels are known in total only.

Takes Adult (who earns above 50,000 dollars) from `$SPARSELABELS_DATA`, otherwise the tumours that
scikit-learn ships.  Rows are put into bags at random; models see the number of positives in each bag.

    python examples/label_proportions.py               # minutes
    python examples/label_proportions.py --fast        # seconds, on the tumours
    python examples/label_proportions.py --picture label_proportions_null.png
"""

from __future__ import annotations

import argparse
import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from noisy_labels import BagRidge, LabelProportionsClassifier, make_bags, permuted_bag_test
from noisy_labels.proportions.alternating_mean_map import AlternatingMeanMap
from noisy_labels.proportions.mean_map import MeanMap


def load(fast: bool) -> tuple[str, NDArray[np.float64], NDArray[np.int64]]:
    """Return a name, features and labels."""
    file = Path(os.environ.get("SPARSELABELS_DATA", "")) / "adult" / "adult.data"
    if fast or not file.is_file():
        tumours = load_breast_cancer()
        return "tumours", tumours.data, 1 - tumours.target
    frame = pd.read_csv(file, header=None, skipinitialspace=True)
    labels = (frame.pop(14) == ">50K").to_numpy(dtype=np.int64)
    numbers = frame.select_dtypes("number").to_numpy(dtype=np.float64)
    categories = pd.get_dummies(frame.select_dtypes(exclude="number")).to_numpy(dtype=np.float64)
    return "Adult", np.hstack([numbers, categories]), labels


def draw_null(
    file: str,
    X: NDArray[np.float64],
    y: NDArray[np.int64],
    test: tuple[NDArray[np.float64], NDArray[np.int64]],
    sizes: tuple[int, ...],
) -> None:
    """Draw the test AUC with true counts among those with counts dealt out anew."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * len(sizes), 2.6), layout="constrained")
    for axes, size in zip(np.atleast_1d(figure.subplots(1, len(sizes), sharex=True)), sizes, strict=True):
        made = make_bags(y, size=size, random_state=0)
        found = permuted_bag_test(
            BagRidge(),
            X,
            bags=made.bags,
            counts=made.counts,
            X_test=test[0],
            y_test=test[1],
            n_permutations=99,
            random_state=0,
        )
        axes.hist(found.null_scores, bins=15, color="0.7", label="permuted counts")
        axes.axvline(found.score, color="C3", label="true counts")
        axes.set(title=f"{len(made.counts)} bags of {size}, p = {found.p_value:.2f}", xlabel="test AUC")
    axes.legend(loc="upper left", fontsize="small")
    figure.savefig(file, dpi=120)


def main() -> None:
    """Compare models over sizes of bags, then test whether the counts have told them anything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fast", action="store_true", help="tumours in place of Adult")
    parser.add_argument("--picture", metavar="FILE", help="draw the null test to FILE")
    options = parser.parse_args()
    name, X, y = load(options.fast)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=0)
    sizes = (8, 32, 128, 512) if name == "Adult" else (4, 16, 64)
    models = {
        "LabelProportionsClassifier": LabelProportionsClassifier(random_state=0),
        "BagRidge": BagRidge(),
        "MeanMap": MeanMap(),
        "AlternatingMeanMap": AlternatingMeanMap(),
    }
    rows = {}
    warnings.filterwarnings("ignore", message=".* bags say little")  # which the table shows
    for label, model in models.items():
        rows[label] = {}
        for size in sizes:
            made = make_bags(y_train, size=size, random_state=0)
            model.fit(X_train, bags=made.bags, counts=made.counts)
            rows[label][f"bags of {size}"] = roc_auc_score(y_test, model.decision_function(X_test))
    print(f"{name}: {X_train.shape[0]} rows in bags, test AUC")
    print(pd.DataFrame(rows).T.round(3).to_string())

    # Without one label of a row: are held-out counts likelier than under counts of other bags?
    for size in sizes:
        made = make_bags(y_train, size=size, random_state=0)
        given = {"bags": made.bags, "counts": made.counts}
        found = permuted_bag_test(BagRidge(), X_train, **given, n_permutations=9, random_state=0)
        print(
            f"bags of {size}: log-likelihood of held-out counts {found.score:.2f}, with permuted counts at "
            f"best {found.null_scores.max():.2f} (p = {found.p_value:.1f})"
        )
    if options.picture:
        draw_null(options.picture, X_train, y_train, (X_test, y_test), sizes)
        print(f"drawn: {options.picture}")


if __name__ == "__main__":
    main()
