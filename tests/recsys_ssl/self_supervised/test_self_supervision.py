import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats
from sklearn.base import clone

from recsys_ssl import FeatureDropout, FeatureTower, SelfSupervision, TwoTower, TwoTowerRetriever
from recsys_ssl.embeddings.rowwise import LazyAdam
from recsys_ssl.encoding.features import MASK
from recsys_ssl.retrieval.batches import InteractionBatches
from recsys_ssl.retrieval.retriever_folder import load_retriever
from recsys_ssl.retrieval.sampled_softmax import SampledSoftmax
from recsys_ssl.sparse_training.training_callbacks import WarnOnCollapse
from sparse_data.datasets import make_interactions

pytestmark = pytest.mark.usefixtures("eager")

FIELDS = [
    {"name": "id", "kind": "category", "num_rows": 15},
    {"name": "tags", "kind": "multi", "num_rows": 9, "combiner": "mean"},
    {"name": "price", "kind": "dense", "num_rows": 2},
]
GENERATOR = np.random.default_rng(0)
ITEMS = {
    "id": np.arange(3, 15, dtype="int32"),
    "tags": GENERATOR.integers(3, 9, size=(12, 3)).astype("int32"),
    "price": GENERATOR.normal(size=(12, 2)).astype("float32"),
}
INFORMATION = np.array([[2.4, 1.5, 2.0], [1.5, 1.5, 0.4], [2.0, 0.4, 2.0]])


class Identity(keras.layers.Layer):
    """A tower that gives the vectors it is asked for."""

    def call(self, features, training=False):
        return features["vector"]


def test_the_loss_is_the_papers_on_golden_vectors():
    z = np.array([[1, 0], [0, 2], [1, 1]], dtype="float32")
    z_prime = np.array([[1, 0.5], [0.5, 1], [-1, 1]], dtype="float32")
    task = SelfSupervision("none", temperature=0.1, value_dropout=0.0).adapt(
        [{"name": "vector", "kind": "dense"}]
    )
    both = keras.ops.convert_to_tensor(np.concatenate([z, z_prime]))  # the views pass the tower together
    terms = task({"vector": z}, item_tower=lambda features, training: both)
    assert float(terms["self_loss"]) == pytest.approx(3.448048, abs=1e-5)
    assert set(terms) == {"self_loss", "alignment"}
    square = SelfSupervision("none", loss="spread_out_square")
    assert float(square({"vector": z}, item_tower=Identity())["self_loss"]) == pytest.approx(
        0.666667, abs=1e-5
    )
    softmax = SelfSupervision("none", loss="spread_out", temperature=0.1)
    assert float(softmax({"vector": z}, item_tower=Identity())["self_loss"]) == pytest.approx(
        0.068602, abs=1e-5
    )


def make_model(task, seed=0):
    towers = [
        FeatureTower(FIELDS, 4, hidden_units=[5], initial_scale=0.5, seed=seed + place) for place in range(2)
    ]
    model = TwoTower(*towers, SampledSoftmax(correction="none", remove_accidental_hits=False), task)
    model.compile(LazyAdam(0.05), jit_compile=False)
    return model


def losses_and_gradients(tower, task, wrapped):
    rows, variables = [], [*tower.trainable_variables, *task.trainable_variables]
    for _ in range(3):
        with tf.GradientTape() as tape:
            terms = task(ITEMS, item_tower=wrapped)
            total = terms["self_loss"] + sum(tower.losses)
        tower._clear_losses()
        rows += [total, *map(tf.convert_to_tensor, tape.gradient(total, [v.value for v in variables]))]
    return rows


@pytest.mark.parametrize("hidden", [(), (5,)])
@pytest.mark.parametrize(
    ("masking", "loss", "fields"), [("cfm", "info_nce", FIELDS), ("rfm", "nt_xent", FIELDS[:2])]
)
def test_rows_looked_up_once_give_what_two_views_of_ids_give(masking, loss, fields, hidden):
    found = []
    for known in (True, False):
        tower = FeatureTower(FIELDS, 4, hidden_units=hidden, l2=0.3, initial_scale=0.5, seed=1)
        task = SelfSupervision(masking, value_dropout=0.4, loss=loss, heads="separate", seed=3, dim=4)
        task.adapt(fields, INFORMATION, ["id"])
        # Wrapped it is a tower of which nothing is known: it gets two masked copies of the ids.
        wrapped = tower if known else keras.Sequential([tower])
        found.append(losses_and_gradients(tower, task, wrapped))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


PAIRS = {"query": ITEMS, "item": ITEMS, "uniform_items": ITEMS}


@pytest.mark.parametrize(
    ("masking", "heads"), [("cfm", "tower"), ("rfm", "separate"), ("none", "tower"), ("cfm", "separate")]
)
def test_fit_reports_both_losses_and_lowers_the_second(masking, heads):
    task = SelfSupervision(masking, weight=0.7, heads=heads, seed=3).adapt(FIELDS, INFORMATION, ["id"])
    history = make_model(task).fit(PAIRS, batch_size=12, epochs=25, verbose=0).history
    assert set(history) == {"loss", "main_loss", "self_loss", "alignment", "uniformity"}
    for whole, main, own in zip(history["loss"], history["main_loss"], history["self_loss"], strict=True):
        assert whole == pytest.approx(main + 0.7 * own, rel=1e-4)
    assert history["self_loss"][-1] < history["self_loss"][0]


def test_a_weight_of_zero_changes_nothing_in_the_main_task():
    task = SelfSupervision("rfm", weight=0.0, seed=3).adapt(FIELDS)
    with_task, without = make_model(task), make_model(None)
    for model in (with_task, without):
        model.fit(PAIRS, batch_size=12, epochs=3, shuffle=False, verbose=0)
    for left, right in zip(with_task(PAIRS), without(PAIRS), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-5)


def test_mask_rows_are_trained_and_never_used_when_serving():
    task = SelfSupervision("rfm", weight=1.0, seed=1).adapt(FIELDS)
    model = make_model(task)
    tower = model.item_tower.embedding
    masks = [tower.rows_of(name)[MASK] for name in ("id", "tags")]
    before = np.asarray(tower.table.get_weights()[0])[masks]
    served = [np.asarray(part) for part in model(PAIRS)]
    assert len(served) == 2
    model.fit(PAIRS, batch_size=12, epochs=4, verbose=0)
    assert (np.asarray(tower.table.get_weights()[0])[masks] != before).all()
    assert (np.asarray(tower.dense_masks["price"].value) != 0).all()
    # Serving gives the same whatever the MASK rows hold.
    served = np.asarray(model.item_tower(ITEMS))
    values = np.array(tower.table.get_weights()[0])
    values[masks] = 1e6
    tower.table.set_weights([values])
    tower.dense_masks["price"].assign(np.full(4, 1e6))
    np.testing.assert_array_equal(np.asarray(model.item_tower(ITEMS)), served)


def test_feature_dropout_hides_rows_in_training_alone():
    layer = FeatureDropout(0.4, seed=0).adapt(FIELDS)
    many = {name: np.repeat(column, 200, axis=0) for name, column in ITEMS.items()}
    for name, column in layer(many, training=False).items():
        np.testing.assert_array_equal(column, many[name])
    hidden = layer(many, training=True)
    shares = [
        (np.asarray(hidden["id"]) == MASK).mean(),
        (np.asarray(hidden["tags"])[:, 0] == MASK).mean(),
        np.isnan(np.asarray(hidden["price"])[:, 0]).mean(),
    ]
    assert shares == pytest.approx([0.4] * 3, abs=0.05)
    history = make_model(layer).fit(PAIRS, batch_size=12, epochs=2, verbose=0).history
    assert set(history) == {"loss"}


def test_the_second_stream_is_uniform_and_has_no_item_twice_in_a_batch():
    items = np.zeros(4000, dtype=np.int64)
    batches = InteractionBatches(
        items, items, None, user_features={}, item_features={"id": np.arange(40)}, log_q=np.zeros(40),
        batch_size=10, self_supervised=True, seed=4,
    )  # fmt: skip
    counts = np.zeros(40)
    for _ in range(3):
        for place in range(len(batches)):
            drawn = batches[place][0]["uniform_items"]["id"]
            assert len(np.unique(drawn)) == 10
            counts[drawn] += 1
        batches.on_epoch_end()
    assert stats.chisquare(counts).pvalue > 1e-3


def test_tensorflow_gathers_the_same_second_stream():
    from recsys_ssl.retrieval.tensorflow_batches import gathered_batches

    generator = np.random.default_rng(0)
    batches = InteractionBatches(
        generator.integers(6, size=50), generator.integers(12, size=50), None,
        user_features={"id": np.arange(6)}, item_features=ITEMS, log_q=np.linspace(-3, -1, 12),
        batch_size=8, self_supervised=True, seed=4,
    )  # fmt: skip
    dataset, shuffle = gathered_batches(batches)
    for epoch in range(2):
        expected = [batches[place][0] for place in range(len(batches))]
        for found, wanted in zip(dataset, expected, strict=True):
            for left, right in zip(keras.tree.flatten(found[0]), keras.tree.flatten(wanted), strict=True):
                np.testing.assert_allclose(left, right, rtol=1e-6)
        shuffle.on_epoch_end(epoch)


def test_config_round_trips():
    task = SelfSupervision(
        "cfm", 0.3, 0.2, 0.4, loss="symmetric", heads="shared", seed=5, dim=4, name="task"
    ).adapt(FIELDS, INFORMATION, ["id"])
    again = SelfSupervision.from_config(task.get_config())
    assert again.get_config() == task.get_config()
    np.testing.assert_array_equal(again.masks, task.masks)
    dropout = FeatureDropout(0.3, seed=2).adapt(FIELDS)
    assert FeatureDropout.from_config(dropout.get_config()).get_config() == dropout.get_config()


def test_save_and_load(tmp_path):
    task = SelfSupervision("cfm", heads="separate", seed=3).adapt(FIELDS, INFORMATION, ["id"])
    model = make_model(task)
    model.fit(PAIRS, batch_size=12, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.self_supervision.get_config() == model.self_supervision.get_config()
    for left, right in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"masking": "all"}, "`masking`"),
        ({"weight": -1}, "`weight`"),
        ({"temperature": 0}, "`temperature`"),
        ({"value_dropout": 1}, "`value_dropout`"),
        ({"loss": "mse"}, "`loss`"),
        ({"heads": "none"}, "`heads`"),
        ({"masking": "rfm", "loss": "spread_out"}, "`masking` must be 'none' with the loss"),
    ],
)
def test_constructor_refuses(arguments, said):
    with pytest.raises(ValueError, match=said):
        SelfSupervision(**arguments)


def test_adapt_refuses():
    with pytest.raises(ValueError, match="must have two fields or more"):
        SelfSupervision("rfm").adapt(FIELDS[:1])
    with pytest.raises(ValueError, match="`information` must be given"):
        SelfSupervision().adapt(FIELDS)
    with pytest.raises(ValueError, match="`information` must be of shape"):
        SelfSupervision().adapt(FIELDS, INFORMATION[:2, :2])
    with pytest.raises(ValueError, match="`identifiers` must be among"):
        SelfSupervision().adapt(FIELDS, INFORMATION, ["isbn"])
    with pytest.raises(ValueError, match="The fields must be told"):
        SelfSupervision("rfm")(ITEMS, item_tower=Identity())
    with pytest.raises(ValueError, match="must hold 'uniform_items'"):
        make_model(SelfSupervision("rfm").adapt(FIELDS)).fit({"query": ITEMS, "item": ITEMS}, verbose=0)


def test_collapse_is_said_unless_vectors_are_on_their_way_apart():
    callback = WarnOnCollapse()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for uniformity in (-0.01, -0.02, -2.0, -1.9):
            callback.on_epoch_end(0, {"uniformity": uniformity})
        callback.on_epoch_end(0, {"loss": 1.0})
    with pytest.warns(UserWarning, match="The item vectors collapse"):
        callback.on_epoch_end(0, {"uniformity": -0.01})


def test_the_retriever_learns_with_it_and_is_saved(tmp_path):
    planted = make_interactions(60, 40, 900, random_state=0)
    task = SelfSupervision("cfm", weight=0.5, seed=1)
    model = TwoTowerRetriever(8, self_supervision=task, epochs=3, batch_size=64, verbose=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model.fit(planted.interactions)
    assert task.specification is None  # the parameter is not changed
    assert {"main_loss", "self_loss", "uniformity"} <= set(model.history_[0])
    model.save(tmp_path / "model")
    again = load_retriever(tmp_path / "model")
    users = planted.interactions.user_ids[:5]
    np.testing.assert_array_equal(again.recommend(users, 5)[0], model.recommend(users, 5)[0])
    assert again.self_supervision.get_config() == task.get_config()
    assert clone(model).self_supervision.weight == 0.5
    with pytest.raises(TypeError, match="`self_supervision` must be"):
        TwoTowerRetriever(self_supervision="cfm").fit(planted.interactions)
