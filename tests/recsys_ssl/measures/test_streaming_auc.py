import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from recsys_ssl.measures.streaming_auc import StreamingAUC


def drawn(n, seed=0):
    generator = np.random.default_rng(seed)
    logits = generator.normal(-6, 2, size=n)  # rare events
    probabilities = 1 / (1 + np.exp(-logits))
    return (generator.random(n) < 20 * probabilities).astype(int), probabilities, generator.random(n)


def filled(labels, probabilities, weights=None, n_bins=1 << 16):
    accumulator = StreamingAUC(n_bins)
    accumulator.update(labels, probabilities, sample_weight=weights)
    return accumulator


@pytest.mark.parametrize("n_bins", [1 << 16, 1 << 10, 50, 1])
@pytest.mark.parametrize("weighted", [False, True])
def test_result_is_within_its_bound_of_the_exact_area(n_bins, weighted):
    labels, probabilities, weights = drawn(3000)
    weights = weights if weighted else None
    accumulator = filled(labels, probabilities, weights, n_bins)
    exact = roc_auc_score(labels, probabilities, sample_weight=weights)
    assert abs(accumulator.result() - exact) <= accumulator.error_bound() + 1e-12
    assert accumulator.error_bound() < {1 << 16: 2e-4, 1 << 10: 1e-2, 50: 0.15, 1: 0.51}[n_bins]


def test_values_far_apart_are_exact_with_ties():
    labels, _, weights = drawn(500)
    probabilities = np.random.default_rng(1).choice([1e-9, 1e-5, 0.01, 0.3, 0.31, 0.999], size=500)
    exact = roc_auc_score(labels, probabilities, sample_weight=weights)
    assert filled(labels, probabilities, weights).result() == pytest.approx(exact, abs=1e-12)


def test_the_bound_is_reached_where_a_bin_orders_its_pairs():
    accumulator = filled([0, 1, 0, 1], [0.3, 0.3 + 1e-9, 0.6, 0.6 + 1e-9])
    assert roc_auc_score([0, 1, 0, 1], [0.3, 0.3 + 1e-9, 0.6, 0.6 + 1e-9]) == 0.75
    assert accumulator.result() == 0.5
    assert accumulator.error_bound() == 0.25


def test_batches_and_merged_shards_equal_the_whole():
    labels, probabilities, weights = drawn(900)
    whole = filled(labels, probabilities, weights)
    shards = filled(labels[:10], probabilities[:10], weights[:10])
    shards.update(labels[10:400], probabilities[10:400], sample_weight=weights[10:400])
    other = filled(labels[400:], probabilities[400:], weights[400:])
    kept = other.positives.copy()
    assert shards.merge(other) is shards
    assert shards.result() == pytest.approx(whole.result(), abs=1e-12)
    np.testing.assert_array_equal(other.positives, kept)


def test_certain_probabilities_are_the_outer_bins():
    accumulator = filled([0, 0, 1, 1], [0.0, 1e-20, 1.0, np.float32(1)])
    assert accumulator.result() == 1.0
    assert accumulator.positives[-1] == accumulator.negatives[0] == 2


def test_nothing_is_added_by_a_bad_batch():
    accumulator = filled([0, 1], [0.2, 0.4])
    for arguments, message in [
        (([0, 1], [0.1]), "`labels` and `probabilities` must be of the same length"),
        (([0, 3], [0.1, 0.2]), "`labels` must be 0 or 1"),
        (([0, 1], [0.1, float("nan")]), "`probabilities` must be finite"),
        (([0, 1], [0.1, 1.2]), r"`probabilities` must be in \[0, 1\]"),
    ]:
        with pytest.raises(ValueError, match=message):
            accumulator.update(*arguments)
    assert (accumulator.positives.sum(), accumulator.negatives.sum()) == (1, 1)


def test_one_class_and_other_bins():
    with pytest.raises(ValueError, match="The rows must hold both classes; got weights 2 of 1 and 0 of 0"):
        filled([1, 1], [0.1, 0.2]).result()
    with pytest.raises(ValueError, match="The rows must hold both classes"):
        StreamingAUC().error_bound()
    with pytest.raises(ValueError, match="`other` must have 65536 bins; got 8"):
        StreamingAUC().merge(StreamingAUC(8))
    with pytest.raises(ValueError, match="`n_bins` must be at least 1"):
        StreamingAUC(0)
