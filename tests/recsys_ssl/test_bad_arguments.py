"""Arguments that once led to errors of other libraries, or to none: each is refused by its name."""

import keras
import numpy as np
import pandas as pd
import pytest

import recsys_ssl as rs
from sparse_data import Bags
from sparse_data.datasets import Impressions, Interactions

CLICKS, BUYS = np.array([1, 1, 0, 1, 0, 1]), np.array([1, 0, 0, 1, 0, 0])
LOGITS = np.linspace(-2.0, 2.0, 6).astype("float32")
FIELDS = [{"name": name, "kind": "category", "num_rows": 6} for name in ("id", "brand")]
LOG = Interactions(user_ids=["u", "u", "v", "v", "w"], item_ids=["a", "b", "a", "c", "b"])
TEST = Interactions(user_ids=["u", "v"], item_ids=["c", "b"])
VECTORS = np.arange(12.0).reshape(6, 2) - 5
SHOWN = Impressions({"ad": [3, 5, 3, 8, 5, 8]}, CLICKS, BUYS)


def refused(table):
    """Check that each call of a table raises what is written behind it."""
    for call, error, message in table:
        with pytest.raises(error, match=message):
            call()


@pytest.mark.parametrize(
    ("name", "logits", "options"),
    [
        ("esmm_loss", 2, ("ctr_weight", "ctcvr_weight")),
        ("escm2_loss", 2, ("cvr_weight", "ctcvr_weight")),
        ("nise_loss", 2, ("alpha", "beta")),
        ("end_to_end_loss", 2, ("alpha",)),
        ("dcmt_loss", 3, ("cvr_weight", "ctcvr_weight", "counterfactual_weight")),
    ],
)
def test_weights_of_losses(name, logits, options):
    loss, tensors = getattr(rs, name), [LOGITS] * logits
    right = float(loss(*tensors, CLICKS, BUYS, **dict.fromkeys(options, 0.5)))
    assert float(loss(*tensors, CLICKS, BUYS, **dict.fromkeys(options, np.float64(0.5)))) == right
    for option in options:
        refused(
            [
                (
                    lambda o=option: loss(*tensors, CLICKS, BUYS, **{o: "1"}),
                    TypeError,
                    f"`{option}` must be a n",
                ),
                (
                    lambda o=option: loss(*tensors, CLICKS, BUYS, **{o: pd.NA}),
                    TypeError,
                    f"`{option}` must be a",
                ),
                (
                    lambda o=option: loss(*tensors, CLICKS, BUYS, **{o: -1}),
                    ValueError,
                    f"`{option}` must be in",
                ),
            ]
        )


def test_weights_of_the_decomposed_funnel_and_of_propensities():
    def esm2(**weights):
        return rs.esm2_loss(*[LOGITS] * 4, clicks=CLICKS, actions=CLICKS, conversions=BUYS, **weights)

    refused(
        [
            (lambda name=name: esm2(**{name: [0.5, 0.5]}), TypeError, f"`{name}` must be a number")
            for name in ("ctr_weight", "ctavr_weight", "ctcvr_weight")
        ]
    )
    with pytest.raises(TypeError, match="`self_normalised` must be True or False"):
        rs.inverse_propensity_loss(LOGITS, LOGITS, CLICKS, BUYS, self_normalised=pd.NA)


def test_contrastive_losses_and_sampled_softmax():
    rows = np.eye(3, dtype="float32")

    def hardest(count):
        masked = np.eye(3) > 0
        return rs.sampled_softmax_loss(rows[0], rows, masked, correction="none", num_hard_negatives=count)

    refused(
        [
            (
                lambda: rs.nt_xent(rows, rows, temperature=[0.5, 1.0]),
                TypeError,
                "`temperature` must be a number",
            ),
            (lambda: rs.info_nce(rows, rows, temperature=pd.NA), TypeError, "`temperature` must be a number"),
            (lambda: rs.identical_features([[1, None]]), TypeError, "`ids` must be of an integer dtype"),
            (lambda: hardest(0), ValueError, "`num_hard_negatives` must be at least 1"),
            (lambda: hardest(Ellipsis), TypeError, "`num_hard_negatives` must be an integer"),
        ]
    )
    learned = keras.Variable(0.5)
    assert float(rs.info_nce(rows, rows, temperature=learned)[0]) == pytest.approx(
        float(rs.info_nce(rows, rows, temperature=0.5)[0])
    )


def test_layers():
    unnamed, unkind = [{"name": ["id"], "kind": "category"}], [{**FIELDS[0], "kind": pd.NA}]
    refused(
        [
            (lambda: rs.field_width(3, 4), TypeError, "`specification` must be of type list or tuple"),
            (lambda: rs.field_width(FIELDS, None), TypeError, "`dim` must be an integer"),
            (
                lambda: rs.FeatureDropout(specification=slice(0, 1)),
                TypeError,
                "`specification` must be of type",
            ),
            (lambda: rs.FeatureDropout(seed=2**63), ValueError, "`seed` must be at most"),
            (lambda: rs.FeatureDropout().adapt([3]), TypeError, "`specification` must be of type Mapping"),
            (lambda: rs.SelfSupervision(specification=unnamed), ValueError, "`specification` must tell"),
            (lambda: rs.SelfSupervision(seed="a"), TypeError, "`seed` must be an integer"),
            (
                lambda: rs.SelfSupervision("cfm").adapt(FIELDS, np.eye(2), 3),
                TypeError,
                "`identifiers` must hold",
            ),
            (lambda: rs.FeatureTower(unkind, 4), ValueError, "`kind` must be one of"),
            (
                lambda: rs.FeatureTower(FIELDS, 4, hidden_units=2.5),
                TypeError,
                "`hidden_units` must be a list",
            ),
            (lambda: rs.FeatureEmbedding(FIELDS, 2).rows_of("x"), ValueError, "`name` must be one of 'id'"),
            (lambda: rs.MMoE(4, 2, units=3), TypeError, "`units` must be a list"),
            (lambda: rs.MMoE(4, 2, units=(2**40,)), ValueError, "`units` must be at most 1000000"),
            (lambda: rs.ESMM(specification=3), TypeError, "`specification` must be of type list"),
            (lambda: rs.ESMM(FIELDS, hidden_units=None), TypeError, "`hidden_units` must be a list"),
            (lambda: rs.ESMM(FIELDS, dim=None), TypeError, "`dim` must be an integer"),
            (
                lambda: rs.ESMM(FIELDS, shared_tables=pd.NA),
                TypeError,
                "`shared_tables` must be True or False",
            ),
        ]
    )


def test_numbers_of_few_bits_are_counted_with_as_ints():
    few = [{**entry, "num_rows": np.uint8(200)} for entry in FIELDS]
    assert rs.FeatureEmbedding(few, 2).rows_of("brand")[-1] == 398
    rs.FeatureEmbedding(FIELDS, 2, initial_scale=-0.0)


def test_tables_of_rows():
    table = rs.SparseEmbedding(4, 2)
    table.build((None,))
    with pytest.raises(TypeError, match="`rows` must be of an integer dtype"):
        table.reset_rows([0.5])


def test_features():
    ages = [rs.Dense("age")]
    declaration, arrays = rs.FeatureEncoder([rs.Category("sex")]).fit({"sex": ["F", "M"]}).to_state()
    named = [{**declaration[0], "name": ["sex"]}]
    encoder = rs.FeatureEncoder([rs.Category("ad")]).fit(SHOWN.columns)

    def batches(**settings):
        return rs.ImpressionBatches(SHOWN, encoder, **settings)

    def information(price):
        return rs.field_information({"price": price, "brand": np.array([3, 3, 4, 4])})

    refused(
        [
            (lambda: rs.FeatureEncoder.from_state(named, arrays), TypeError, "`name` must be of type str"),
            (
                lambda: rs.learn_encoder(ages, np.datetime64("2020-01-01")),
                TypeError,
                "`chunks` must be a list or",
            ),
            (lambda: batches(weight=True), TypeError, "`weight` must be of type str"),
            (lambda: batches(seed=0.5), TypeError, "`seed` must be an integer"),
            (lambda: batches(shuffle=pd.NA), TypeError, "`shuffle` must be True or False"),
            (lambda: information([[1.0], [2.0, 3.0]]), ValueError, "`features` must be an array"),
            (lambda: information(np.full(4, np.inf)), ValueError, "`price` must be finite"),
            (lambda: information(np.ones((4, 1, 1))), ValueError, "`price` must be a number an item"),
            (
                lambda: rs.mutual_information([1, 2], np.array([1, "a"], dtype=object)),
                TypeError,
                "`b` must be values of one type",
            ),
            (
                lambda: rs.label_leak_warnings({"size": [[1], [1, 2]]}, CLICKS, BUYS),
                ValueError,
                "`size` must be an array with rows of one length",
            ),
            (lambda: rs.check_funnel_labels(None, BUYS), TypeError, "`clicks` must be numeric"),
        ]
    )


def test_recommenders():
    def ials(**settings):
        return rs.IALS(**{"dim": 2, "n_iterations": 1, **settings}).fit(LOG)

    popular = rs.Popularity().fit(LOG)
    weights = np.array([1.7e308] * 6)
    refused(
        [
            (lambda: ials(random_state=True), TypeError, "`random_state` must be an integer"),
            (lambda: ials(unobserved_weight=1e300), ValueError, "`unobserved_weight` must be in"),
            (
                lambda: ials(frequency_exponent=1e300),
                ValueError,
                "`regularization by `unobserved_weight` and",
            ),
            (lambda: rs.ItemKNN(shrinkage=1e300).fit(LOG), ValueError, "`shrinkage` must be in"),
            (lambda: popular.recommend("u", 1, filter_seen=pd.NA), TypeError, "`filter_seen` must be True"),
            (
                lambda: rs.evaluate_retriever(popular, LOG, TEST, k=1, filter_seen=pd.NA),
                TypeError,
                "`filter_seen` must be True or False",
            ),
            (
                lambda: rs.out_of_fold_scores(popular, LOG, n_folds=2, random_state=0.5),
                TypeError,
                "`random_state` must be an integer",
            ),
            (
                lambda: rs.TwoTowerRetriever(user_features=3, epochs=1, verbose=False).fit(LOG),
                TypeError,
                "`user_features` must be a list; got int",
            ),
            (
                lambda: rs.TwoTowerRetriever(learning_rate=1e300).fit(LOG),
                ValueError,
                "`learning_rate` must be in",
            ),
            (
                lambda: rs.ExactIndex().build(VECTORS, np.arange(6), bias=np.full(6, 1e300)),
                ValueError,
                "`bias` must fit",
            ),
            (
                lambda: rs.ExactIndex().build(VECTORS, np.arange(6), bias=VECTORS),
                ValueError,
                "`bias` must be 1-dim",
            ),
            (lambda: rs.fused_scores(["a"], [0.5]), TypeError, "`relevance` must be numeric"),
            (lambda: rs.fused_scores([0.5], [None]), TypeError, "`chances` must be numeric"),
            (
                lambda: rs.auc_by_group(BUYS, LOGITS, list("aabbcc"), sample_weight=weights),
                ValueError,
                "`sample_weight` must be within 1e\\+140",
            ),
        ]
    )


def test_folding_in():
    liked = Bags.from_lists([[0, 1], []], dtype=np.int64)
    refused(
        [
            (lambda: rs.fold_in(VECTORS, liked, l2=np.inf), ValueError, "`l2` must be in"),
            (
                lambda: rs.fold_in(VECTORS, liked, temperature=1e-300),
                ValueError,
                "`item_vectors` must be within",
            ),
        ]
    )
    np.testing.assert_array_equal(
        rs.fold_in(VECTORS, liked, l2=np.float16(0.5)), rs.fold_in(VECTORS, liked, l2=0.5)
    )


def test_ranks_are_evaluated_at_a_number_in_an_array():
    model = rs.Popularity().fit(LOG)
    found = rs.evaluate_retriever(model, LOG, TEST, k=np.array(1), n_bootstrap=5, random_state=0)
    assert found.equals(rs.evaluate_retriever(model, LOG, TEST, k=1, n_bootstrap=5, random_state=0))


def test_no_candidates_of_a_vocabulary_have_no_type():
    vocabulary = rs.GrowingVocabulary(20, min_count=1)
    vocabulary.update(np.array([3, 5, 3]))
    state = {**vocabulary.state_dict(), "candidate_counts": np.zeros(0, [("a", "i4")])}
    assert rs.GrowingVocabulary.from_state_dict(state).counts([3]).tolist() == [2]


def test_encoded_impressions():
    brief = {"dim": 2, "hidden_units": (2,), "epochs": 1, "verbose": False, "validation_fraction": 0.0}
    model = rs.EntireSpaceClassifier(**brief).fit(SHOWN.columns, CLICKS, BUYS)
    rows = {"ad": np.array([0, 3])}
    assert model.predict_encoded(rows)["ctr"].shape == (2,)
    refused(
        [
            (lambda: model.predict_encoded(2.5), TypeError, "`encoded` must be of type Mapping"),
            (lambda: model.predict_encoded({}), ValueError, "`encoded` must be non-empty"),
            (lambda: model.predict_encoded({"ad": np.array([2**70])}), TypeError, "`ad` must be numeric"),
            (lambda: model.predict_encoded({"ad": np.array([99])}), ValueError, "`ad` must be in \\[0, "),
            (lambda: model.predict_encoded({"ad": np.int64(3)}), TypeError, "`ad` must have a length"),
        ]
    )
    refused(
        [
            (
                lambda: rs.rank_by_conversion(rs.Popularity().fit(LOG), model, ["u"], k=1, context=pd.NA),
                TypeError,
                "`context` must be of type Mapping",
            )
        ]
    )
