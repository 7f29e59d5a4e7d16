import numpy as np
import pytest

from recsys_ssl.encoding.features import Category
from recsys_ssl.funnels.training_impressions import (
    columns_of,
    impressions_in_blocks,
    impressions_in_memory,
)
from sparse_data import Bags
from sparse_data.datasets.impressions import Impressions

N = 40
CLICKS = np.arange(N) % 2
CONVERSIONS = (np.arange(N) % 4 == 1).astype(int)
COLUMNS = {"row": np.arange(N), "weight": np.arange(N) / 10}
SETTINGS = {"validation_fraction": 0.2, "min_count": 1, "batch_size": 8, "seed": 0}


class Blocks:
    def __init__(self, columns=COLUMNS, clicks=CLICKS, conversions=CONVERSIONS, cuts=(0, 15, 30, 40)):
        self.shown = Impressions(columns, clicks, conversions)
        self.cuts = cuts
        self.block_lengths = np.diff(cuts)

    def read_block(self, place, /):
        return self.shown.take(slice(self.cuts[place], self.cuts[place + 1]))


def in_memory(clicks=CLICKS, conversions=CONVERSIONS, weight=None, **changes):
    labels = {"click": clicks, "conversion": conversions}
    return impressions_in_memory(COLUMNS, [Category("row")], labels, weight, **{**SETTINGS, **changes})


def test_vocabularies_are_those_of_the_training_rows_alone():
    shown = in_memory()
    x, y = shown.held_out[0]
    assert (x["row"] == 1).all()
    assert (y["click"].sum(), y["conversion"].sum(), len(y["click"])) == (4, 2, 8)
    x, y = shown.training[0]
    rows = shown.encoder.vocabularies_["row"][x["row"] - 3]
    np.testing.assert_array_equal(y["click"], CLICKS[rows])
    np.testing.assert_array_equal(y["conversion"], CONVERSIONS[rows])
    assert len(shown.encoder.vocabularies_["row"]) == 32


def test_weights_go_with_their_rows():
    shown = in_memory(weight=COLUMNS["weight"])
    x, _, weight = shown.training[0]
    rows = shown.encoder.vocabularies_["row"][x["row"] - 3]
    np.testing.assert_allclose(weight, rows / 10, rtol=1e-6)
    assert in_memory(validation_fraction=0.0).held_out is None


def test_blocks_are_split_and_encoded_in_turn():
    shown = impressions_in_blocks(Blocks(), [Category("row")], weight="weight", **SETTINGS)
    assert shown.encoder.vocabularies_["row"].tolist() == list(range(30))
    x, y, weight = shown.held_out[0]
    assert (x["row"] == 1).all()
    np.testing.assert_array_equal(y["click"], CLICKS[30:])
    np.testing.assert_allclose(weight, np.arange(30, 40) / 10, rtol=1e-6)
    rows = [row for place in range(len(shown.training)) for row in shown.training[place][0]["row"] - 3]
    assert len(set(rows)) == 24


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"conversions": np.zeros(N)},
            "`conversions` must hold both 0 and 1 among clicks in training; got 0",
        ),
        ({"clicks": np.ones(N)}, "`clicks` must hold both 0 and 1 in training; got 40 of 40"),
        ({"conversions": CLICKS}, "`conversions` must hold both 0 and 1 among clicks in training; got 20"),
    ],
)
def test_labels_of_one_class(changes, message):
    with pytest.raises(ValueError, match=message):
        in_memory(**changes)
    with pytest.raises(
        ValueError, match=message.replace("got 40 of 40", "got 30 of 30").split("; got 20")[0]
    ):
        impressions_in_blocks(Blocks(**changes), [Category("row")], **SETTINGS)


def test_rows_of_no_weight_are_no_rows():
    with pytest.raises(
        ValueError, match="`conversions` must hold both 0 and 1 among clicks in training; got 0"
    ):
        in_memory(weight=1 - CONVERSIONS)


def test_held_out_labels_of_one_class():
    conversions = CONVERSIONS * (np.arange(N) < 30)
    with pytest.raises(ValueError, match="among clicks in the blocks held out for validation; got 0 of 5"):
        impressions_in_blocks(Blocks(conversions=conversions), [Category("row")], **SETTINGS)
    # Both conversions that are held out have no weight.
    shown = in_memory()
    held = ~np.isin(np.arange(N), shown.encoder.vocabularies_["row"])
    with pytest.raises(ValueError, match="in the part held out for validation; got 0 of 2"):
        in_memory(weight=1 - CONVERSIONS * held)


def test_errors_in_blocks():
    with pytest.raises(ValueError, match="`conversions` must be 0 where there is no click"):
        impressions_in_blocks(Blocks(conversions=np.ones(N)), [Category("row")], **SETTINGS)
    with pytest.raises(ValueError, match="`weight` must name a column; got 'none'"):
        impressions_in_blocks(Blocks(), [Category("row")], weight="none", **SETTINGS)
    columns = {**COLUMNS, "weight": -COLUMNS["weight"]}
    with pytest.raises(ValueError, match="`weight` must be"):
        impressions_in_blocks(Blocks(columns), [Category("row")], weight="weight", **SETTINGS)


def test_columns_of_all_kinds():
    weighted = Bags([1, 2], [0, 2], [0.5, 0.5])
    assert columns_of({"tags": weighted})["tags"].weights is None
    assert list(columns_of(Impressions({"ad": [1]}, clicks=[1], conversions=[0]))) == ["ad"]
    with pytest.raises(ValueError, match="`X` must be 2-dimensional"):
        columns_of(np.zeros(3))
