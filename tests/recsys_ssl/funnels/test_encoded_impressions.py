import numpy as np
import pytest

from recsys_ssl.encoding.feature_encoder import FeatureEncoder
from recsys_ssl.encoding.features import Category, Dense, MultiCategory
from recsys_ssl.funnels.encoded_impressions import EncodedBatches, encode_rows, part_of
from sparse_data import Bags

COLUMNS = {
    "ad": np.array(["a", "b", "a", "c", ""]),
    "tags": Bags.from_lists([["x"], [], ["y", "x", "z"], ["y"], ["new"]]),
    "price": np.array([1.0, np.nan, 3.0, 4.0, 5.0]),
}
FEATURES = [Category("ad"), MultiCategory("tags"), Dense("price")]
ENCODER = FeatureEncoder(FEATURES).fit({name: column[np.arange(4)] for name, column in COLUMNS.items()})


def test_rows_are_those_of_the_encoder():
    found, expected = encode_rows(ENCODER, COLUMNS), ENCODER.transform(COLUMNS)
    np.testing.assert_array_equal(found["ad"], expected["ad"])
    np.testing.assert_array_equal(found["price"], expected["price"])
    np.testing.assert_array_equal(found["tags"].to_padded(3, fill=0), expected["tags"])


def test_a_part_knows_what_the_whole_has_learned():
    part = part_of(ENCODER, ["price", "ad"])
    assert [entry["name"] for entry in part.specification()] == ["ad", "price"]
    np.testing.assert_array_equal(part.transform(COLUMNS)["price"], ENCODER.transform(COLUMNS)["price"])


@pytest.mark.parametrize("weighted", [False, True])
def test_an_epoch_brings_every_row_once(weighted):
    encoded = encode_rows(ENCODER, COLUMNS)
    labels = {"click": np.arange(5), "conversion": 10 * np.arange(5)}
    weights = np.arange(5.0) if weighted else None
    batches = EncodedBatches(encoded, labels, weights, batch_size=2, shuffle=False)
    assert len(batches) == 3
    parts = [batches[place] for place in range(3)]
    assert [len(part) for part in parts] == [3 if weighted else 2] * 3
    np.testing.assert_array_equal(np.concatenate([part[1]["click"] for part in parts]), np.arange(5))
    np.testing.assert_array_equal(np.concatenate([part[0]["tags"] for part in parts]).shape, (5, 3))
    if weighted:
        np.testing.assert_array_equal(np.concatenate([part[2] for part in parts]), np.arange(5))


def test_shuffled_rows_stay_together():
    n = 11
    encoded = {"id": np.arange(n), "bag": Bags.from_lists([[row] * (row % 3) for row in range(n)])}
    batches = EncodedBatches(encoded, {"click": np.arange(n)}, np.arange(n), batch_size=4, seed=3)
    assert len(batches) == 2
    epochs = []
    for _ in range(2):
        seen = []
        for place in range(2):
            x, y, weight = batches[place]
            np.testing.assert_array_equal(x["id"], y["click"])
            np.testing.assert_array_equal(x["id"], weight)
            for row, bag in zip(x["id"], x["bag"], strict=True):
                assert bag.tolist() == [row] * (row % 3) + [0] * (2 - row % 3)
            seen += x["id"].tolist()
        assert len(set(seen)) == 8
        epochs.append(seen)
        batches.on_epoch_end()
    assert epochs[0] != epochs[1]
    again = EncodedBatches(encoded, {"click": np.arange(n)}, batch_size=4, seed=3)
    np.testing.assert_array_equal(again[0][0]["id"], epochs[0][:4])


def test_fewer_rows_than_a_batch():
    batches = EncodedBatches({"id": np.arange(3)}, {"click": np.arange(3)}, batch_size=100)
    assert len(batches) == 1
    assert sorted(batches[0][0]["id"].tolist()) == [0, 1, 2]
