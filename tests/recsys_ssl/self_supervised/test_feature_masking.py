import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_ssl.encoding.features import MASK, MISSING, NUM_RESERVED
from recsys_ssl.self_supervised.feature_masking import correlated_masks, draw_mask, drop_values, mask_fields

FIELDS = [
    {"name": "id", "kind": "category", "num_rows": 20},
    {"name": "tags", "kind": "multi", "num_rows": 9, "combiner": "mean"},
    {"name": "price", "kind": "dense", "num_rows": 3},
]
ITEMS = {
    "id": np.arange(3, 8, dtype="int32"),
    "tags": np.array([[3, 4, 0], [5, 0, 0], [0, 0, 0], [3, 6, 8], [7, 7, 0]], dtype="int32"),
    "price": np.arange(15, dtype="float32").reshape(5, 3) / 10,
}


def test_masks_by_hand():
    # a and b say the same, c and d nearly; half of four is two: the seed, and the two nearest.
    information = np.array(
        [[1.0, 0.9, 0.1, 0.2], [0.9, 1.0, 0.3, 0.1], [0.1, 0.3, 1.0, 0.8], [0.2, 0.1, 0.8, 1.0]]
    )
    found = correlated_masks(information)
    assert found.tolist() == [
        [True, True, False, True],
        [True, True, True, False],
        [False, True, True, True],
        [True, False, True, True],
    ]
    assert correlated_masks(information, size=1).tolist() == [
        [True, True, False, False],
        [True, True, False, False],
        [False, False, True, True],
        [False, False, True, True],
    ]


def test_an_identifier_is_neither_seed_nor_ranked():
    information = np.array([[3.0, 1.0, 1.0, 1.0], [1, 1, 0.9, 0], [1, 0.9, 1, 0.1], [1, 0, 0.1, 1]])
    masks = correlated_masks(information, [0])
    assert masks.tolist() == [
        [False, True, True, False],
        [False, True, True, False],
        [False, False, True, True],
    ]


@pytest.mark.parametrize(
    ("information", "identifiers", "said"),
    [
        (np.ones((2, 3)), [], "`information` must be square"),
        (np.full((2, 2), np.nan), [], "`information`"),
        (np.ones((2, 2)), [2], "`identifiers`"),
    ],
)
def test_refused(information, identifiers, said):
    with pytest.raises(ValueError, match=said):
        correlated_masks(information, identifiers)


@given(k=st.integers(2, 7), seed=st.integers(0, 50), n_identifiers=st.integers(0, 2))
@settings(deadline=None, max_examples=30)
def test_some_field_other_than_an_identifier_is_masked_and_where_there_are_two_one_stays(
    k, seed, n_identifiers
):
    information = np.random.default_rng(seed).random((k, k))
    identifiers = list(range(min(n_identifiers, k - 1)))
    masks = correlated_masks((information + information.T) / 2, identifiers)
    others = [place for place in range(k) if place not in identifiers]
    assert masks.shape == (len(others), k)
    assert not masks[:, identifiers].any()
    assert masks[np.arange(len(others)), others].all()
    if len(others) > 1:
        assert not masks[:, others].all(axis=1).any()


def test_random_masks_hide_half_and_every_field_equally_often():
    generator = keras.random.SeedGenerator(0)
    drawn = np.array([np.asarray(draw_mask(5, generator)) for _ in range(400)])
    assert set(drawn.sum(axis=1)) == {2}
    assert np.abs(drawn.mean(axis=0) - 0.4).max() < 0.1


def test_correlated_masks_are_drawn_uniformly_with_identifiers_on_either_side():
    masks = correlated_masks(np.eye(4) + 0.1, [0], size=0)
    generator = keras.random.SeedGenerator(1)
    drawn = np.array([np.asarray(draw_mask(4, generator, masks=masks, identifiers=[0])) for _ in range(300)])
    assert np.abs(drawn[:, 1:].mean(axis=0) - 1 / 3).max() < 0.1
    assert abs(drawn[:, 0].mean() - 0.5) < 0.1


def test_one_field_beside_the_identifier_is_masked_against_it():
    masks = correlated_masks(np.ones((2, 2)), [0])
    generator = keras.random.SeedGenerator(1)
    for _ in range(5):
        assert np.asarray(draw_mask(2, generator, masks=masks, identifiers=[0])).tolist() == [False, True]


@given(st.lists(st.booleans(), min_size=3, max_size=3))
@settings(deadline=None, max_examples=10)
def test_every_field_is_visible_in_exactly_one_view(mask):
    mask = np.array(mask)
    first, second = (mask_fields(ITEMS, FIELDS, keras.ops.convert_to_tensor(m)) for m in (mask, ~mask))
    for place, entry in enumerate(FIELDS):
        hidden, shown = (first, second) if mask[place] else (second, first)
        original = ITEMS[entry["name"]]
        np.testing.assert_array_equal(np.asarray(shown[entry["name"]]), original)
        found = np.asarray(hidden[entry["name"]])
        if entry["kind"] == "dense":
            assert np.isnan(found).all()
        elif entry["kind"] == "multi":
            assert (found[:, 0] == MASK).all()
            assert (found[:, 1:] == MISSING).all()
        else:
            assert (found == MASK).all()
    for name, column in ITEMS.items():
        assert not np.isnan(column).any(), name


def test_values_are_dropped_independently_and_masks_stay():
    tags = np.full((200, 50), NUM_RESERVED, dtype="int32")
    tags[:, 0] = MASK
    generator = keras.random.SeedGenerator(2)
    found = np.asarray(drop_values({"tags": tags, "id": tags[:, 0]}, FIELDS[:2], 0.3, generator)["tags"])
    assert (found[:, 0] == MASK).all()
    dropped = found[:, 1:] == MISSING
    assert dropped.mean() == pytest.approx(0.3, abs=0.02)
    assert np.abs(dropped.mean(axis=0) - 0.3).max() < 0.15
    assert (tags[:, 1:] == NUM_RESERVED).all()
    kept = drop_values({"tags": tags}, FIELDS[1:2], 0.0, generator)
    np.testing.assert_array_equal(kept["tags"], tags)
