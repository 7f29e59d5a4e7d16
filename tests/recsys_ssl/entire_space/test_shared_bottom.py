"""The shared bottom, and what holds of every bottom: sizes, randomness, configuration, saving, backends."""

import importlib.util
import json

import keras
import numpy as np
import pytest

from recsys_ssl.entire_space.aitm import AITM
from recsys_ssl.entire_space.mmoe import MMoE
from recsys_ssl.entire_space.ple import PLE
from recsys_ssl.entire_space.shared_bottom import Experts, SharedBottom, glorot_kernels

NON_DEFAULT = {
    SharedBottom: {"units": [6, 5], "dropout": 0.25, "seed": 3},
    MMoE: {
        "num_experts": 3,
        "units": [6, 5],
        "dropout": 0.25,
        "gate_dropout": 0.5,
        "load_balance": 0.1,
        "seed": 3,
    },
    PLE: {
        "num_levels": 3,
        "task_experts": 1,
        "shared_experts": 3,
        "units": [6, 5],
        "dropout": 0.25,
        "gate_dropout": 0.5,
        "seed": 3,
    },
    AITM: {"units": [6, 5], "dropout": 0.25, "seed": 3},
}
BOTTOMS = pytest.mark.parametrize("kind", NON_DEFAULT, ids=lambda kind: kind.__name__)


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def arrays(vectors):
    return np.stack([keras.ops.convert_to_numpy(vector) for vector in vectors])


def test_experts_equal_a_loop_of_networks():
    layer = Experts(4, 3, units=(6, 5), seed=0)
    for bias in layer.biases:
        bias.assign(drawn(*bias.shape))
    x = drawn(7, 4)
    for expert, vectors in enumerate(keras.ops.convert_to_numpy(layer(x))):
        expected = x
        for kernel, bias in zip(layer.kernels, layer.biases, strict=True):
            w, b = (keras.ops.convert_to_numpy(part)[expert] for part in (kernel, bias))
            expected = np.maximum(expected @ w + b, 0)
        np.testing.assert_allclose(vectors, expected, rtol=1e-5, atol=1e-6)


def test_experts_may_have_an_input_each():
    layer = Experts(4, 3, units=(5,), seed=0)
    x = drawn(3, 7, 4)
    together = keras.ops.convert_to_numpy(layer(x))
    for expert in range(3):
        np.testing.assert_allclose(together[expert], layer(x[expert])[expert], rtol=1e-5, atol=1e-6)


def test_first_kernels_have_the_spread_of_one_network():
    """Keras would count the experts as inputs; Glorot's limit is that of a kernel alone."""
    kernels = glorot_kernels(np.random.default_rng(0), 50, 30, 20)
    assert np.abs(kernels).max() == pytest.approx(np.sqrt(6 / 50), rel=1e-3)
    assert kernels.std() == pytest.approx(np.sqrt(2 / 50), rel=0.02)


def test_all_tasks_get_the_same_vector_of_one_network():
    bottom = SharedBottom(4, 3, units=(6, 5), seed=1)
    x = drawn(7, 4)
    vectors = arrays(bottom(x))
    expected = Experts(4, 1, units=(6, 5), seed=1)(x)[0]
    assert vectors.shape == (3, 7, 5)
    for vector in vectors:
        np.testing.assert_array_equal(vector, expected)
    assert (vectors != 0).any()


@BOTTOMS
def test_sizes(kind):
    bottom = kind(4, 3, **NON_DEFAULT[kind])
    assert (bottom.num_tasks, bottom.output_width, bottom.built) == (3, 5, True)
    assert bottom.weights  # before the first call
    whole = arrays(bottom(drawn(7, 4)))
    assert whole.shape == (3, 7, 5)
    for size in (0, 1, 3):  # a row does not depend on the others
        np.testing.assert_allclose(arrays(bottom(drawn(7, 4)[:size])), whole[:, :size], rtol=1e-5, atol=1e-6)


@BOTTOMS
def test_rows_permuted_give_vectors_permuted(kind):
    bottom = kind(4, 2, **NON_DEFAULT[kind])
    order = np.random.default_rng(1).permutation(7)
    np.testing.assert_allclose(
        arrays(bottom(drawn(7, 4)[order])), arrays(bottom(drawn(7, 4)))[:, order], rtol=1e-5, atol=1e-6
    )


@BOTTOMS
def test_dropout_is_for_training_and_repeats_under_a_seed(kind):
    settings = NON_DEFAULT[kind] | {"units": [64, 64]}
    first, second = (kind(4, 2, **settings) for _ in range(2))
    x = drawn(50, 4)
    served = arrays(first(x))
    np.testing.assert_array_equal(arrays(first(x, training=False)), served)
    trained = arrays(first(x, training=True))
    assert (trained != served).any()
    np.testing.assert_array_equal(arrays(second(x, training=True)), trained)
    assert (arrays(first(x, training=True)) != trained).any()  # another draw at every call
    without = kind(4, 2, **settings | {name: 0.0 for name in settings if "dropout" in name})
    np.testing.assert_array_equal(arrays(without(x, training=True)), arrays(without(x)))


@pytest.mark.parametrize("kind", [SharedBottom, AITM], ids=lambda kind: kind.__name__)
def test_the_share_that_is_dropped(kind):
    bottom = kind(4, 1, units=(500,), dropout=0.25, seed=0)
    x = np.abs(drawn(40, 4))
    served, trained = arrays(bottom(x)), arrays(bottom(x, training=True))
    active = served > 0
    assert (trained[active] == 0).mean() == pytest.approx(0.25, abs=0.02)
    kept = active & (trained != 0)
    np.testing.assert_allclose(trained[kept], served[kept] / 0.75, rtol=1e-5)


@BOTTOMS
def test_same_seed_same_weights(kind):
    first, second, other = (kind(4, 2, **NON_DEFAULT[kind] | {"seed": seed}) for seed in (5, 5, 6))
    for left, right in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)
    assert any((a != b).any() for a, b in zip(first.get_weights(), other.get_weights(), strict=True))
    keras.utils.set_random_seed(0)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    kind(4, 2, **NON_DEFAULT[kind])
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


@BOTTOMS
def test_config_round_trip(kind):
    bottom = kind(4, 3, **NON_DEFAULT[kind], name="my_bottom", dtype="float64")
    config = bottom.get_config()
    expected = NON_DEFAULT[kind] | {"input_width": 4, "num_tasks": 3, "name": "my_bottom"}
    assert {key: config[key] for key in expected} == expected
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(bottom))
    assert type(again) is kind
    assert again.get_config() == config
    np.testing.assert_array_equal(arrays(again(drawn(7, 4))), arrays(bottom(drawn(7, 4))))
    assert {str(weight.dtype) for weight in again.weights if "seed" not in weight.path} == {"float64"}


# Keras copies TensorFlow's variables in a way that NumPy deprecates.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@BOTTOMS
def test_save_and_load(kind, tmp_path):
    inputs = keras.Input((4,))
    bottom = kind(4, 2, **NON_DEFAULT[kind])
    bottom.set_weights(
        [weight + 1 if weight.dtype.kind == "f" else weight for weight in bottom.get_weights()]
    )
    model = keras.Model(inputs, bottom(inputs))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(arrays(again(drawn(7, 4))), arrays(bottom(drawn(7, 4))))


@BOTTOMS
def test_half_precision(kind):
    bottom = kind(4, 2, **NON_DEFAULT[kind], dtype="mixed_float16")
    exact = kind(4, 2, **NON_DEFAULT[kind])
    vectors = bottom(drawn(7, 4), training=True)
    assert {vector.dtype.name for vector in vectors} == {"float16"}
    assert np.isfinite(arrays(vectors)).all()
    np.testing.assert_allclose(arrays(bottom(drawn(7, 4))), arrays(exact(drawn(7, 4))), atol=0.02)


@BOTTOMS
@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"input_width": 0}, ValueError, "`input_width` must be at least 1"),
        ({"num_tasks": 0}, ValueError, "`num_tasks` must be at least 1"),
        ({"num_tasks": 2.0}, TypeError, "`num_tasks` must be an integer"),
        ({"units": []}, ValueError, "`units` must be non-empty"),
        ({"units": [4, 0]}, ValueError, "`units` must be at least 1"),
        ({"dropout": 1.0}, ValueError, r"`dropout` must be in \[0, 1\)"),
    ],
)
def test_arguments_are_refused(kind, changes, error, message):
    with pytest.raises(error, match=message):
        kind(**{"input_width": 4, "num_tasks": 2, **changes})


@BOTTOMS
@pytest.mark.parametrize("shape", [(7, 3), (4,), (2, 7, 4)])
def test_inputs_of_another_shape_are_refused(kind, shape):
    with pytest.raises(ValueError, match="incompatible with the layer"):
        kind(4, 2)(drawn(*shape))


# All bottoms in one model, so that a step compiles once; tf runs in the tests themselves.
SCRIPT = r"""
import json
import keras, numpy as np
from recsys_ssl.entire_space.aitm import AITM, aitm_calibrator
from recsys_ssl.entire_space.mmoe import MMoE
from recsys_ssl.entire_space.ple import PLE
from recsys_ssl.entire_space.shared_bottom import SharedBottom

backend = keras.backend.backend()
x = np.random.default_rng(0).normal(size=(7, 4)).astype("float32")
settings = {"units": (6, 5), "seed": 0}
bottoms = [
    SharedBottom(4, 2, dropout=0.1, **settings),
    MMoE(4, 2, gate_dropout=0.3, load_balance=0.1, **settings),
    PLE(4, 2, gate_dropout=0.3, **settings),
    AITM(4, 2, **settings),
]
inputs = keras.Input((4,))
outputs = {type(bottom).__name__: keras.ops.stack(bottom(inputs)) for bottom in bottoms}
model = keras.Model(inputs, outputs)
model.compile(keras.optimizers.SGD(2.0), {name: "mse" for name in outputs}, jit_compile=backend == "jax")
report = {"backend": backend}
report["vectors"] = {name: z.tolist() for name, z in model.predict_on_batch(x).items()}
targets = {name: np.ones((2, 7, 5), "float32") for name in outputs}
report["losses"] = [model.train_on_batch(x, targets, return_dict=True)["loss"] for _ in range(25)]
after = model.predict_on_batch(x)
report["error"] = {name: float(np.square(z - 1).mean()) for name, z in after.items()}
report["usage"] = bottoms[1].gate_usage(x).tolist()
report["calibrator"] = float(aitm_calibrator(x[:, 0], x[:, 1]))
print("REPORT", json.dumps(report, default=float))
"""


@pytest.fixture(scope="module")
def report(run_under):
    def in_backend(backend):
        if importlib.util.find_spec(backend) is None:
            pytest.skip(f"{backend} is not installed")
        return json.loads(run_under(backend, SCRIPT).split("REPORT ")[1])

    return in_backend


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_other_backends(report, backend):
    found = report(backend)
    assert found["backend"] == backend
    assert np.isfinite(found["losses"]).all()
    x = drawn(7, 4)
    for kind in NON_DEFAULT:
        vectors = arrays(kind(4, 2, units=(6, 5), seed=0)(x))
        name = kind.__name__
        np.testing.assert_allclose(found["vectors"][name], vectors, rtol=1e-4, atol=1e-5, err_msg=name)
        assert found["error"][name] < 0.8 * np.square(vectors - 1).mean(), name
    assert np.shape(found["usage"]) == (2, 8)
    np.testing.assert_allclose(np.sum(found["usage"], axis=1), 1, rtol=1e-5)
    assert found["calibrator"] == pytest.approx(0.6 * np.maximum(x[:, 1] - x[:, 0], 0).mean(), rel=1e-5)
