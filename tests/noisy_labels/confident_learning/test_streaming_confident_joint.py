"""The confident joint of batches equals that of the whole, however they are cut, ordered and merged."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisy_labels.confident_learning import predicted_probabilities
from noisy_labels.confident_learning.confident_counts import confident_joint, confident_thresholds
from noisy_labels.confident_learning.streaming_confident_joint import ConfidentJoint


def random_case(seed, n=300, n_classes=4, dtype=np.float64):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n - n_classes)])
    return labels, rng.dirichlet(np.full(n_classes, 0.5), n).astype(dtype)


def read(joint, labels, probs, cuts):
    bounds = [0, *sorted(cuts), len(labels)]
    for start, stop in pairwise(bounds):
        if stop > start:
            joint.partial_fit(labels[start:stop], probs[start:stop])
    return joint


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**16),
    cuts=st.lists(st.integers(0, 300), max_size=6),
    other_cuts=st.lists(st.integers(0, 300), max_size=6),
    collisions=st.sampled_from(["paper", "cleanlab"]),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_batches_equal_the_whole_to_the_last_bit(seed, cuts, other_cuts, collisions, dtype):
    labels, probs = random_case(seed, dtype=dtype)
    joint = read(ConfidentJoint(collisions=collisions), labels, probs, cuts).begin_counting()
    np.testing.assert_array_equal(joint.thresholds, confident_thresholds(labels, probs))
    order = np.random.default_rng(seed).permutation(300)
    read(joint, labels[order], probs[order], other_cuts)
    np.testing.assert_array_equal(joint.finalize(), confident_joint(labels, probs, collisions=collisions))
    np.testing.assert_array_equal(joint.label_counts, np.bincount(labels, minlength=4))


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**16), cut=st.integers(1, 299))
def test_merged_shards_equal_the_whole(seed, cut):
    labels, probs = random_case(seed)
    parts = [(labels[:cut], probs[:cut]), (labels[cut:], probs[cut:])]
    first, second = (ConfidentJoint().partial_fit(*part) for part in parts)
    thresholds = first.merge(second).begin_counting().thresholds
    shards = [ConfidentJoint(thresholds=thresholds).partial_fit(*part) for part in parts]
    np.testing.assert_array_equal(shards[1].merge(shards[0]).finalize(), confident_joint(labels, probs))
    empty = ConfidentJoint(thresholds=thresholds)
    np.testing.assert_array_equal(empty.merge(shards[1]).finalize(), confident_joint(labels, probs))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_threads_and_blocks_do_not_matter(monkeypatch, dtype):
    labels, probs = random_case(0, n=20_000, n_classes=30, dtype=dtype)
    expected = confident_joint(labels, probs), confident_thresholds(labels, probs)
    for threads, values in [(1, 1 << 20), (3, 7), (5, 1 << 12)]:
        monkeypatch.setattr(predicted_probabilities.kernels, "N_THREADS", threads)
        monkeypatch.setattr(predicted_probabilities, "BLOCK_VALUES", values)
        np.testing.assert_array_equal(confident_joint(labels, probs), expected[0])
        np.testing.assert_array_equal(confident_thresholds(labels, probs), expected[1])


def test_fit_reads_a_generator_function_twice():
    labels, probs = random_case(0)
    calls = []

    def make_batches():
        calls.append(1)
        yield from ((labels[start : start + 50], probs[start : start + 50]) for start in range(0, 300, 50))

    joint = ConfidentJoint().fit(make_batches)
    np.testing.assert_array_equal(joint.finalize(), confident_joint(labels, probs))
    assert len(calls) == 2
    known = ConfidentJoint(thresholds=joint.thresholds).fit(make_batches)
    np.testing.assert_array_equal(known.finalize(), joint.finalize())
    assert len(calls) == 3


def test_misuse_is_told():
    labels, probs = random_case(0)
    with pytest.raises(ValueError, match="`begin_counting` must follow a reading"):
        ConfidentJoint().begin_counting()
    with pytest.raises(ValueError, match="`finalize` must follow the counting"):
        ConfidentJoint().partial_fit(labels, probs).finalize()
    joint = ConfidentJoint().partial_fit(labels, probs).begin_counting()
    with pytest.raises(ValueError, match="must be called once"):
        joint.begin_counting()
    joint.partial_fit(labels[:100], probs[:100])
    with pytest.raises(ValueError, match="must have the 300 rows of the first; got 100"):
        joint.finalize()
    with pytest.raises(ValueError, match="must have 4 columns as before; got 3"):
        joint.partial_fit([0], [[0.2, 0.3, 0.5]])
    with pytest.raises(ValueError, match="must be in the same reading"):
        joint.merge(ConfidentJoint())
    with pytest.raises(ValueError, match="must be in the same reading"):
        ConfidentJoint(collisions="cleanlab").merge(ConfidentJoint())
    with pytest.raises(TypeError, match="`make_batches` must be callable; got generator"):
        ConfidentJoint().fit((labels, probs) for _ in range(1))
    with pytest.raises(ValueError, match="`fit` must start with nothing read; got 300 rows"):
        ConfidentJoint().partial_fit(labels, probs).fit(lambda: [(labels, probs)])
    with pytest.raises(ValueError, match="`thresholds` must be 3 numbers; got 2"):
        ConfidentJoint(thresholds=[0.5, 0.5]).partial_fit([0], [[0.2, 0.3, 0.5]])
