from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest

from recsys_ssl.encoding.feature_encoder import FeatureEncoder
from recsys_ssl.encoding.features import Category, Dense, MultiCategory
from recsys_ssl.funnels.impression_batches import ImpressionBatches
from sparse_data import Bags
from sparse_data.datasets.impression_files import ImpressionFiles
from sparse_data.datasets.impressions import Impressions

N = 53
LENGTHS = np.arange(N) % 6
# Every column is a function of the row.
SHOWN = Impressions(
    {
        "row": np.arange(N),
        "tags": Bags(
            np.arange(LENGTHS.sum()) % 7, np.concatenate([[0], np.cumsum(LENGTHS)]), np.ones(LENGTHS.sum())
        ),
        "number": np.arange(N) * 2.0,
        "importance": np.arange(N) / 10,
    },
    clicks=np.arange(N) % 2,
    conversions=np.arange(N) % 4 == 1,
)
PLAIN_TAGS = Bags(SHOWN.columns["tags"].values, SHOWN.columns["tags"].offsets)
ENCODER = FeatureEncoder([Category("row"), MultiCategory("tags"), Dense("number")]).fit(
    {**SHOWN.columns, "tags": PLAIN_TAGS}
)


class Blocks:
    """Impressions cut into blocks, which counts what is read and held."""

    def __init__(self, cuts):
        self.cuts = cuts
        self.block_lengths = np.diff(cuts)
        self.read = []

    def read_block(self, place, /):
        self.read.append(place)
        return SHOWN.take(slice(self.cuts[place], self.cuts[place + 1]))


def rows_of(x):
    return x["row"] - 3


def epoch_of(batches):
    return [batches[place] for place in range(len(batches))]


def check(x, y):
    rows = rows_of(x)
    np.testing.assert_array_equal(y["click"], rows % 2)
    np.testing.assert_array_equal(y["conversion"], rows % 4 == 1)
    assert y["click"].dtype == y["conversion"].dtype == np.float32
    mean, spread = ENCODER.moments_["number"].ravel()
    np.testing.assert_allclose(x["number"][:, 0], (2.0 * rows - mean) / spread, rtol=1e-6)
    for row, tags in zip(rows, x["tags"], strict=True):
        assert tags[tags > 0].tolist() == (PLAIN_TAGS[int(row)] + 3).tolist()
    return rows.tolist()


SOURCES = {
    "memory": lambda: SHOWN,
    "one block": lambda: Blocks([0, N]),
    "blocks": lambda: Blocks([0, 10, 11, 30, 30, 41, N]),
    "single rows": lambda: Blocks(list(range(N + 1))),
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("buffer_blocks", [1, 2, 100])
def test_every_row_once_an_epoch(source, buffer_blocks):
    batches = ImpressionBatches(SOURCES[source](), ENCODER, batch_size=8, buffer_blocks=buffer_blocks)
    orders = []
    for _ in range(3):
        found = epoch_of(batches)
        rows = [row for x, y in found for row in check(x, y)]
        assert len(found) == len(batches) == 6
        assert {len(x["row"]) for x, _ in found} == {8}
        assert len(set(rows)) == len(rows) == 48
        orders.append(rows)
        batches.on_epoch_end()
    assert orders[0] != orders[1] != orders[2]
    assert orders[0] != sorted(orders[0])


@pytest.mark.parametrize("source", SOURCES)
def test_in_order(source):
    batches = ImpressionBatches(SOURCES[source](), ENCODER, batch_size=8, shuffle=False)
    found = epoch_of(batches)
    assert [len(x["row"]) for x, _ in found] == [8] * 6 + [5]
    assert [row for x, y in found for row in check(x, y)] == list(range(N))
    batches.on_epoch_end()
    assert rows_of(batches[2][0]).tolist() == list(range(16, 24))


def test_the_seed_decides():
    def order(source, **changes):
        batches = ImpressionBatches(SOURCES[source](), ENCODER, batch_size=8, buffer_blocks=2, **changes)
        return [rows_of(x).tolist() for x, _ in epoch_of(batches)]

    for source in SOURCES:
        assert order(source, seed=1) == order(source, seed=1) != order(source, seed=2)


def test_batches_in_any_order():
    batches = ImpressionBatches(Blocks([0, 10, 11, 30, 41, N]), ENCODER, batch_size=8, buffer_blocks=2)
    straight = [rows_of(x).tolist() for x, _ in epoch_of(batches)]
    assert [rows_of(batches[place][0]).tolist() for place in (5, 0, 3, 1, 4, 2)] == [
        straight[place] for place in (5, 0, 3, 1, 4, 2)
    ]


def test_each_block_is_read_once_and_mixed_with_others():
    source = Blocks([*range(0, 50, 5), N])
    batches = ImpressionBatches(source, ENCODER, batch_size=4, buffer_blocks=5)
    rows = [row for x, y in epoch_of(batches) for row in check(x, y)]
    assert sorted(source.read) == list(range(10))
    # The first 25 or so rows come from the first five blocks read, in an order that mixes them.
    blocks = [min(row // 5, 9) for row in rows[:24]]
    assert set(blocks) <= set(source.read[:5])
    assert sum(one != two for one, two in itertools.pairwise(blocks)) > 10


def test_a_log_smaller_than_a_batch_is_one_batch():
    batches = ImpressionBatches(SHOWN, ENCODER, batch_size=1000)
    assert len(batches) == 1
    assert sorted(check(*batches[0])) == list(range(N))


def test_weights():
    batches = ImpressionBatches(SHOWN, ENCODER, batch_size=8, weight="importance")
    for x, _, weights in epoch_of(batches):
        assert weights.dtype == np.float32
        np.testing.assert_allclose(weights, rows_of(x) / 10, rtol=1e-6)
    with pytest.raises(ValueError, match="`weight` must name a column; got 'size'"):
        _ = ImpressionBatches(SHOWN, ENCODER, weight="size")[0]
    below = Impressions({**SHOWN.columns, "importance": -np.ones(N)}, SHOWN.clicks, SHOWN.conversions)
    with pytest.raises(ValueError, match="`importance` must be non-negative"):
        _ = ImpressionBatches(below, ENCODER, weight="importance")[0]


def test_widths_of_bags():
    for x, _ in epoch_of(ImpressionBatches(SHOWN, ENCODER, batch_size=4)):
        longest = LENGTHS[rows_of(x)].max()
        assert x["tags"].shape[1] == min(width for width in (1, 2, 4, 8) if width >= longest)
    for width in (1, 3, 6):
        for x, _ in epoch_of(ImpressionBatches(SHOWN, ENCODER, batch_size=8, max_values=width)):
            assert x["tags"].shape == (8, width)
            for row, tags in zip(rows_of(x), x["tags"], strict=True):
                assert tags[tags > 0].tolist() == (PLAIN_TAGS[int(row)][:width] + 3).tolist()


def test_files(tmp_path):
    columns = {**{name: SHOWN.columns[name] for name in ("row", "number")}, "click": SHOWN.clicks}
    tags = ["|".join(map(str, bag)) for bag in PLAIN_TAGS]
    lines = ["row,number,click,buy,tags"]
    for row in range(N):
        values = [column[row] for column in columns.values()]
        lines.append(",".join(map(str, [*values, SHOWN.conversions[row], tags[row]])))
    (tmp_path / "log.csv").write_text("\n".join(lines))
    source = ImpressionFiles(
        tmp_path / "log.csv", click="click", conversion="buy", multi_valued=["tags"], block_rows=6
    )
    encoder = FeatureEncoder([Category("row"), Dense("number")]).fit(SHOWN.columns)
    batches = ImpressionBatches(source, encoder, batch_size=8, buffer_blocks=3)
    rows = []
    for x, y in epoch_of(batches):
        rows += rows_of(x).tolist()
        np.testing.assert_array_equal(y["click"], rows_of(x) % 2)
        np.testing.assert_array_equal(y["conversion"], rows_of(x) % 4 == 1)
    assert len(set(rows)) == 48


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"impressions": SHOWN.take([])}, "`impressions` must hold rows; got none"),
        ({"batch_size": 0}, "`batch_size` must be at least 1"),
        ({"max_values": 0}, "`max_values` must be at least 1"),
        ({"buffer_blocks": 0}, "`buffer_blocks` must be at least 1"),
    ],
)
def test_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        ImpressionBatches(**{"impressions": SHOWN, "encoder": ENCODER, **arguments})


def test_absent_column():
    other = Impressions({"row": np.arange(4)}, [0] * 4, [0] * 4)
    for width in (None, 2):
        with pytest.raises(ValueError, match="`tags` must be among the columns"):
            _ = ImpressionBatches(other, ENCODER, max_values=width)[0]


def test_keras_reads_every_batch(eager):
    # A model that learns nothing: it returns the rows that it was given.
    inputs = {"row": keras.Input((), dtype="float32", name="row")}
    outputs = {name: keras.layers.Reshape((1,), name=name)(inputs["row"]) for name in ("click", "conversion")}
    model = keras.Model(inputs, outputs)
    model.compile(loss={"click": "mae", "conversion": "mae"})
    encoder = FeatureEncoder([Category("row")]).fit(SHOWN.columns)
    batches = ImpressionBatches(SHOWN, encoder, batch_size=10, shuffle=False, weight="importance")
    assert model.predict(batches, verbose=0)["click"][:, 0].tolist() == [row + 3.0 for row in range(N)]
    losses = model.evaluate(batches, verbose=0, return_dict=True)
    wanted = sum(row / 10 * (2 * row + 6 - row % 2 - (row % 4 == 1)) for row in range(N)) / N
    assert losses["loss"] == pytest.approx(wanted, rel=1e-5)
