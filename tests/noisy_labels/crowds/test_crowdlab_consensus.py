"""CROWDLAB beside cleanlab, and its corner cases."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from noisy_labels.crowds.crowdlab_consensus import crowdlab


def crowd(seed, n=60, n_workers=7, n_classes=3):
    rng = np.random.default_rng(seed)
    true = rng.integers(n_classes, size=n)
    table = np.full((n, n_workers), np.nan)
    for j in range(n_workers):
        labelled = rng.random(n) < 0.5
        right = rng.random(n) < 0.4 + 0.08 * j
        table[labelled, j] = np.where(right, true, rng.integers(n_classes, size=n))[labelled]
    seen = ~np.isnan(table).all(axis=1)
    table, true = table[seen], true[seen]
    probs = 0.5 * rng.dirichlet(np.ones(n_classes), size=len(table))
    probs[np.arange(len(table)), true] += 0.5
    return table, probs


@pytest.mark.parametrize("seed", range(4))
def test_beside_cleanlab(seed):
    multiannotator = pytest.importorskip("cleanlab.multiannotator")
    table, probs = crowd(seed)
    # Estimated from the majority vote, as the paper has it; the default estimates once more from the result.
    expected, best = (
        multiannotator.get_label_quality_multiannotator(
            pd.DataFrame(table), probs, consensus_method=consensus, verbose=False, return_weights=True
        )
        for consensus in ("majority_vote", "best_quality")
    )
    items, workers = np.nonzero(~np.isnan(table))
    labels = table[items, workers].astype(int)
    found = crowdlab(items, workers, labels, probs)
    assert found.model_weight == pytest.approx(expected["model_weight"])
    np.testing.assert_allclose(found.worker_weights, expected["annotator_weight"])
    detailed = expected["detailed_label_quality"].to_numpy()
    np.testing.assert_allclose(found.label_quality, detailed[items, workers])
    quality = expected["annotator_stats"].sort_index()["annotator_quality"]
    np.testing.assert_allclose(found.worker_quality, quality)
    np.testing.assert_array_equal(found.labels, best["label_quality"]["consensus_label"])


def test_rows_and_columns_by_name():
    table, probs = crowd(0)
    items, workers = np.nonzero(~np.isnan(table))
    labels = np.array(["a", "b", "c"])[table[items, workers].astype(int)]
    plain = crowdlab(items, workers, labels, probs)
    rows = np.random.default_rng(1).permutation(len(probs))
    # One more item that nobody labelled, and a class that nobody gave.
    wide = np.column_stack([probs, np.zeros(len(probs))])[rows]
    wide = np.vstack([wide, [0.25] * 4])
    ids = [*rows.tolist(), 999]
    named = crowdlab(items, workers, labels, wide, item_ids=ids, classes=["a", "b", "c", "d"])
    assert named.classes.tolist() == ["a", "b", "c", "d"]
    assert named.model_weight == pytest.approx(plain.model_weight)
    np.testing.assert_array_equal(named.labels, plain.labels)


def test_a_worker_alone_and_a_crowd_of_one_mind():
    found = crowdlab([0, 0, 1], ["u", "v", "w"], [0, 0, 1], [[0.9, 0.1], [0.4, 0.6]])
    assert np.isfinite(found.probabilities).all()
    assert np.isfinite(found.worker_quality).all()
    assert found.labels.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([0, 1], [0, 0], [0, 1], np.eye(2)), {}, "`items` must be labelled twice"),
        (([0, 0], [0, 1], [0, 1], np.eye(2)), {}, "`pred_probs` must be of shape"),
        (([0, 0], [0, 1], [0, 1], [[0.5, 0.9]]), {}, "rows that sum to 1"),
        (([0, 0], [0, 1], [0, 1], [[0.5, np.nan]]), {}, "`pred_probs` must be finite"),
        (
            ([0, 0], [0, 1], [0, 1], [[0.5, 0.5]]),
            {"item_ids": [7]},
            "`item_ids` must hold every labelled item",
        ),
        (([0, 0], [0, 1], [0, 1], [[0.5, 0.5]]), {"classes": [1, 0]}, "`classes` must be sorted"),
        (([0, 0], [0, 1], [0, 1], [[0.5, 0.5]]), {"classes": [0, 2]}, "`classes` must be sorted"),
    ],
)
def test_bad_values_are_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        crowdlab(*arguments, **options)
