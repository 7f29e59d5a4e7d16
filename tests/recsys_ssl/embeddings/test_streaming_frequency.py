import numpy as np
import pytest

from recsys_ssl.embeddings.streaming_frequency import StreamingFrequency


def stream(n_steps, probabilities, seed=0):
    """Batches that hold item i with probability i, independently."""
    generator = np.random.default_rng(seed)
    for _ in range(n_steps):
        yield np.flatnonzero(generator.random(len(probabilities)) < probabilities)


PROBABILITIES = np.array([0.9, 0.5, 0.2, 0.1, 0.05])


def test_close_to_the_exact_count_on_a_stationary_stream():
    frequency, counts = StreamingFrequency(rate=0.01), np.zeros(5)
    for batch in stream(6000, PROBABILITIES):
        frequency.update(batch)
        counts[batch] += 1
    np.testing.assert_allclose(frequency.probability(np.arange(5)), counts / 6000, rtol=0.2)


def test_by_hand():
    # Item 7 comes at steps 2, 3 and 7: gaps 2 (the first sighting), 1 and 4.
    frequency = StreamingFrequency(rate=0.25)
    for step in range(1, 8):
        frequency.update(np.array([7, 7, 7]) if step in (2, 3, 7) else np.array([], dtype=np.int64))
    gap = 0.75 * (0.75 * 2 + 0.25 * 1) + 0.25 * 4
    assert frequency.probability(np.array([7]))[0] == pytest.approx(1 / gap)
    assert frequency.probability(np.array([8]))[0] == pytest.approx(1 / 8)


def test_it_follows_a_drift():
    frequency = StreamingFrequency(rate=0.1)
    for step in range(300):
        frequency.update(np.array([0]) if step < 150 or step % 10 == 0 else np.array([1]))
    assert frequency.probability(np.array([0]))[0] == pytest.approx(0.1, rel=0.3)


def test_many_hashes_lessen_collisions():
    ids = np.arange(200)
    probabilities = np.full(200, 0.02)
    errors = []
    for num_hashes in (1, 4):
        frequency = StreamingFrequency(300, num_hashes=num_hashes)
        for batch in stream(1500, probabilities):
            frequency.update(ids[batch])
        errors.append(np.abs(frequency.probability(ids) - 0.02).mean())
    assert errors[1] < 0.7 * errors[0]


def test_one_bucket_takes_all_items_for_one():
    frequency = StreamingFrequency(1)
    for step in range(50):
        frequency.update(np.array([step]))
    assert frequency.probability(np.array([0, 1000])).tolist() == [1.0, 1.0]


def test_probabilities_lie_in_the_unit_interval():
    frequency = StreamingFrequency(16, rate=1.0)
    assert frequency.probability(np.array([3])).tolist() == [1.0]
    for batch in stream(50, np.full(100, 0.3)):
        frequency.update(batch)
    p = frequency.probability(np.arange(-5, 1000))
    assert (p > 0).all()
    assert (p <= 1).all()


def test_same_seed_same_estimate_and_other_seed_other_buckets():
    def fitted(seed):
        frequency = StreamingFrequency(64, seed=seed)
        for batch in stream(100, np.full(100, 0.1)):
            frequency.update(batch)
        return frequency.probability(np.arange(100))

    np.testing.assert_array_equal(fitted(1), fitted(1))
    assert (fitted(1) != fitted(2)).any()


def test_ids_of_any_integer_type():
    ids = np.array([0, 1, 3])
    frequencies = [StreamingFrequency(), StreamingFrequency()]
    frequencies[0].update(ids)
    frequencies[1].update(ids.astype(np.int8))
    for frequency in frequencies:
        frequency.update(np.array([2**62, -1]))
    np.testing.assert_array_equal(
        frequencies[0].probability(np.array([0, 2**62, -1])),
        frequencies[1].probability(np.array([0, 2**62, -1])),
    )


def test_shards_merge_to_the_mean_weighted_by_steps():
    halves = [StreamingFrequency(rate=0.2), StreamingFrequency(rate=0.2)]
    # Item 0 in every second step of the one, in every tenth of the other; item 1 only in the other.
    for step in range(400):
        halves[0].update(np.array([0]) if step % 2 == 1 else np.array([], dtype=np.int64))
    for step in range(200):
        halves[1].update(np.array([0, 1]) if step % 10 == 9 else np.array([1]))
    expected = [(400 * 0.5 + 200 * 0.1) / 600, 200 / 600]
    merged = halves[0].merge(halves[1])
    assert merged is halves[0]
    np.testing.assert_allclose(merged.probability(np.array([0, 1])), expected, rtol=0.02)
    assert merged.probability(np.array([5]))[0] == pytest.approx(1 / 601)
    # The stream goes on where the other one ended: item 1 came one step ago.
    merged.update(np.array([1]))
    assert merged.probability(np.array([1]))[0] == pytest.approx(1 / (0.8 * 3 + 0.2 * 1), rel=1e-6)


def test_merging_with_nothing_changes_nothing():
    frequency = StreamingFrequency()
    for batch in stream(100, PROBABILITIES):
        frequency.update(batch)
    before = frequency.probability(np.arange(7))
    np.testing.assert_allclose(frequency.merge(StreamingFrequency()).probability(np.arange(7)), before)
    np.testing.assert_allclose(StreamingFrequency().merge(frequency).probability(np.arange(7)), before)


@pytest.mark.parametrize(
    "other",
    [StreamingFrequency(8), StreamingFrequency(16, num_hashes=3), StreamingFrequency(16, seed=1)],
    ids=["buckets", "hashes", "seed"],
)
def test_merging_others_is_refused(other):
    with pytest.raises(ValueError, match="`other` must have the same num_buckets, num_hashes and seed"):
        StreamingFrequency(16).merge(other)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_buckets": 0}, ValueError, "`num_buckets` must be at least 1"),
        ({"num_hashes": 0}, ValueError, "`num_hashes` must be at least 1"),
        ({"rate": 0.0}, ValueError, "`rate` must be in"),
        ({"rate": 1.1}, ValueError, "`rate` must be in"),
        ({"num_buckets": 2.0}, TypeError, "`num_buckets` must be an integer"),
    ],
)
def test_arguments_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        StreamingFrequency(**arguments)


def test_ids_are_integers():
    with pytest.raises(TypeError, match="`ids` must be of an integer dtype"):
        StreamingFrequency().update(np.array([1.0]))
