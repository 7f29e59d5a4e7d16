import warnings

import numpy as np
import pytest
from matplotlib.figure import Figure

from recsys_ssl.encoding.feature_encoder import FeatureEncoder
from recsys_ssl.encoding.features import Category, Dense, MultiCategory
from recsys_ssl.self_supervised.field_diagnostics import field_information
from recsys_ssl.self_supervised.shared_information import mutual_information
from sparse_data import Bags

BRAND, NEW = np.array([3, 3, 4, 4, 5, 5]), np.array([3, 3, 3, 4, 4, 4])
ITEMS = {"id": np.arange(3, 9), "brand": BRAND, "new": NEW}


def make_catalogue(n, seed=0):
    generator = np.random.default_rng(seed)
    brand = generator.integers(20, size=n)
    tags = [
        [f"tag {value}" for value in generator.integers(50, size=generator.integers(4))] for _ in range(n)
    ]
    return {
        "id": np.array([f"item {place}" for place in range(n)]),
        "brand": np.array([f"brand {value}" for value in brand]),
        "country": np.array([f"country {value % 5}" for value in brand]),
        "tags": Bags.from_lists(tags),
        "price": np.where(generator.random(n) < 0.1, np.nan, brand + generator.normal(size=n)),
        "unit": np.full(n, "kg"),
    }


FEATURES = [
    *(Category(name) for name in ("id", "brand", "country", "unit")),
    MultiCategory("tags"),
    Dense("price"),
]


@pytest.fixture(scope="module")
def found():
    encoder = FeatureEncoder(FEATURES).fit(make_catalogue(400))
    return field_information(encoder.transform(make_catalogue(400)), encoder.specification())


def test_golden_values():
    found = field_information(ITEMS)
    log2, log3, log6 = np.log([2, 3, 6])
    expected = [[log6, log3, log2], [log3, log3, 0.462098], [log2, 0.462098, log2]]
    np.testing.assert_allclose(found.matrix, expected, atol=1e-6)
    np.testing.assert_allclose(found.entropies, [log6, log3, log2])
    # The id knows all of everything, but normalised the fields are nearer to each other than the raw says.
    assert found.normalized[1, 2] == pytest.approx(0.462098 / np.sqrt(log2 * log3), abs=1e-6)
    assert found.normalized[0, 2] == pytest.approx(np.sqrt(log2 / log6))
    assert found.identifiers == ("id",)
    assert found.informative == ("brand", "new")
    assert found.n_items == 6


def test_a_catalogue_as_the_encoder_gives_it(found):
    names = {name: place for place, name in enumerate(found.names)}
    assert found.identifiers == ("id",)
    assert found.informative == ("brand", "country", "tags", "price")
    # The brand settles the country.
    assert found.matrix[names["brand"], names["country"]] == pytest.approx(found.entropies[names["country"]])
    assert found.entropies[names["unit"]] == 0
    assert not found.normalized[names["unit"]].any()
    assert not found.normalized[:, names["unit"]].any()
    columns = make_catalogue(400)
    assert found.matrix[names["brand"], names["tags"]] == pytest.approx(
        mutual_information(columns["brand"], columns["tags"])
    )
    assert found.coverage[names["tags"]] == np.mean(columns["tags"].lengths > 0)
    assert found.coverage[names["price"]] == np.mean(~np.isnan(columns["price"]))
    assert found.entropies[names["price"]] == pytest.approx(np.log(10), rel=1e-3)
    assert found.normalized[names["price"], names["brand"]] > 0.5


def test_the_matrix_is_symmetric_and_bounded(found):
    for matrix in (found.matrix, found.normalized, found.adjusted):
        np.testing.assert_array_equal(matrix, matrix.T)
        assert (matrix >= 0).all()
    assert (found.normalized <= 1).all()
    np.testing.assert_array_equal(np.diag(found.normalized), found.entropies > 0)


def test_normalisation_where_values_are_missing():
    # Over all items `a` is nearly constant; where `b` is known it is a coin, and right three times in four.
    a = np.array([3] * 96 + [4] * 4)
    b = np.array([0] * 92 + [3, 3, 3, 4, 3, 4, 4, 4])
    found = field_information({"a": a, "b": b})
    shared = np.log(2) + 0.75 * np.log(0.75) + 0.25 * np.log(0.25)
    assert found.matrix[0, 1] == pytest.approx(shared)
    assert found.normalized[0, 1] == pytest.approx(shared / np.log(2))


def test_what_is_shared_by_chance_is_taken_out():
    generator = np.random.default_rng(0)
    many, others = generator.integers(3, 300, size=(2, 1000))
    related = np.where(generator.random(1000) < 0.5, many, generator.integers(3, 300, size=1000))
    found = field_information({"many": many, "others": others, "related": related, "id": np.arange(3, 1003)})
    # With three items a value independent fields seem to share most of what they know.
    assert found.normalized[0, 1] > 0.7
    assert found.adjusted[0, 1] < 0.05
    assert found.adjusted[0, 2] > 0.2
    # With an id every field shares all it knows, and after shuffling as well.
    np.testing.assert_allclose(found.adjusted[3, :3], 0, atol=1e-12)
    again = field_information({"many": many, "others": others}, random_state=0)
    np.testing.assert_array_equal(again.adjusted, found.adjusted[:2, :2])


def test_one_field_twice_is_redundant_in_every_measure():
    brand = np.random.default_rng(0).integers(3, 30, size=300)
    found = field_information({"brand": brand, "label": 100 - brand})
    np.testing.assert_allclose(found.normalized, 1)
    np.testing.assert_allclose(found.adjusted, 1)


def test_a_rare_field_is_not_informative_and_an_id_with_holes_is_an_identifier():
    n = 1000
    generator = np.random.default_rng(0)
    barcode = np.where(np.arange(n) < 100, np.arange(3, n + 3), 0)
    rare = np.where(np.arange(n) < 20, generator.integers(3, 6, size=n), 0)
    nearly = np.arange(3, n + 3) // 2 * 2  # two items a value: 10 % of log(n) is missing
    found = field_information({"barcode": barcode, "rare": rare, "nearly": nearly})
    assert found.identifiers == ("barcode",)
    assert found.informative == ("nearly",)


def test_words_that_items_share_are_no_identifier_however_many():
    generator = np.random.default_rng(0)
    words = generator.integers(3, 400, size=(200, 20))
    same = np.tile([3, 4], (200, 1))
    own = np.arange(3, 403).reshape(200, 2)
    found = field_information({"words": words, "same": same, "own": own})
    assert found.entropies[0] > np.log(200)
    assert found.identifiers == ("own",)
    assert found.informative == ("words",)
    # Every item has the same two: drawing one says nothing of the item.
    np.testing.assert_allclose(found.entropies[1], np.log(2))
    np.testing.assert_allclose(found.item_information[[1, 2]], [0, np.log(200)], atol=1e-12)


@pytest.mark.parametrize("share", [0.03, 0.5, 0.85])
def test_numbers_with_ties(share):
    generator = np.random.default_rng(0)
    flag = generator.random(1000) < share
    number = np.where(flag, generator.random(1000) + 1, 0.0)
    found = field_information({"flag": 3 + flag.astype(int), "number": number, "binary": flag.astype(float)})
    # Zero is told from what is above it.
    np.testing.assert_allclose(found.matrix[0, 1:], found.entropies[0])


def test_vectors_by_their_first_component():
    generator = np.random.default_rng(0)
    first = generator.normal(size=500)
    vectors = np.stack([3 * first, -3 * first, 0.1 * generator.normal(size=500), np.zeros(500)], axis=1)
    vectors[0] = [np.nan, 0, 0, 1]
    one = field_information({"vector": vectors, "first": first}).matrix[0, 1]
    assert one > 0.8 * np.log(10)


def test_kinds_without_a_specification():
    items = {
        "c": np.array([3, 3, 0]),
        "m": np.array([[3, 4], [3, 0], [0, 0]]),
        "b": Bags.from_lists([[1], [2], []]),
    }
    found = field_information({**items, "d": np.array([0.5, 0.7, np.nan])})
    np.testing.assert_allclose(found.coverage, 2 / 3)
    # The first draws 3 or 4 with 1/2, the second 3.
    assert found.entropies[1] == pytest.approx(np.log(4) - 0.75 * np.log(3))


@pytest.mark.parametrize("n_items", [0, 1, 2])
def test_hardly_any_items(n_items):
    items = {"c": np.full(n_items, 3), "m": np.zeros((n_items, 1), dtype=int), "d": np.full(n_items, np.nan)}
    found = field_information(items)
    assert not found.matrix.any()
    assert found.identifiers == found.informative == ()
    assert np.isfinite(found.coverage).all()


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(
        ValueError, match="must hold every field of the specification; got none for \\['x'\\]"
    ):
        field_information(ITEMS, [{"name": "x", "kind": "category"}])
    with pytest.raises(ValueError, match="`id` and `brand` and `new` must be of the same length"):
        field_information({**ITEMS, "new": NEW[:3]})
    with pytest.raises(ValueError, match="`kind` must be one of"):
        field_information(ITEMS, [{"name": "id", "kind": "number"}])
    with pytest.raises(ValueError, match="`n_bins` must be at least 2"):
        field_information(ITEMS, n_bins=1)


def test_too_few_fields_warn_and_enough_do_not(found):
    with pytest.warns(UserWarning, match=r"2 informative field\(s\) beside identifiers \(brand, new\)"):
        field_information(ITEMS).warn_if_too_few()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found.warn_if_too_few()


def test_table_and_text():
    found = field_information(ITEMS)
    frame = found.to_frame()
    assert frame.loc["brand", "new"] == pytest.approx(0.462098, abs=1e-6)
    assert found.to_frame("normalized").loc["id", "id"] == 1.0
    lines = str(found).splitlines()
    assert lines[1].split() == ["id", "brand", "new"]
    assert lines[3].split() == ["brand", "1.099", "1.099", "0.462"]
    assert len({len(line) for line in lines[1:5]}) == 1
    assert lines[-2:] == ["identifiers: id", "informative: brand, new"]
    assert "informative: none" in str(field_information({}))


def test_pictures(tmp_path, found):
    figure = found.plot(tmp_path / "fields.png")
    assert (tmp_path / "fields.png").stat().st_size > 1000
    assert len(figure.axes[0].texts) == len(found.names) ** 2
    axes = Figure().subplots()
    assert field_information(ITEMS).plot(axes, kind="nats") is axes.figure
    assert [text.get_text() for text in axes.texts][:3] == ["1.79", "1.10", "0.69"]
    assert axes.get_xticklabels()[0].get_text() == "id (identifier)"
