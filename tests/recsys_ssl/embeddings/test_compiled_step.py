"""The train step as one program of XLA, beside the step of single ops: TensorFlow on a CPU."""

import keras
import numpy as np
import pytest

from recsys_ssl import LazyAdam, RowwiseAdagrad, SparseEmbedding, SparseModel, SparseSGD

if keras.backend.backend() != "tensorflow":
    pytest.skip("only TensorFlow compiles a part of a step", allow_module_level=True)

from recsys_ssl.sparse_training import tensorflow_step

ROWS, DIM = 40, 3


class Model(SparseModel):
    """Two tables, one of them looked up twice in other shapes, padding, and a dense layer."""

    def __init__(self, noisy=False, reads=False):
        super().__init__()
        first = keras.initializers.RandomNormal(seed=1)
        self.shared = SparseEmbedding(ROWS, DIM, "mean", padding_id=0, embeddings_initializer=first)
        self.other = SparseEmbedding(2 * ROWS, DIM, embeddings_initializer=first)
        self.dense = keras.layers.Dense(1, kernel_initializer=first)
        self.chance = keras.random.SeedGenerator(0)
        self.noisy, self.reads = noisy, reads

    def call(self, x):
        bags, single = x["bags"], x["single"]
        if self.noisy:
            kept = keras.random.uniform(keras.ops.shape(bags), seed=self.chance) > 0.3
            bags = keras.ops.where(kept, bags, 0)
        total = self.shared(bags) * self.shared(single[:, None]) + self.other(single)
        return self.dense(total) + (keras.ops.sum(self.other.embeddings.value) if self.reads else 0.0)


@pytest.fixture
def data():
    generator = np.random.default_rng(0)
    x = {"bags": generator.integers(9, size=(22, 5)), "single": generator.integers(ROWS, size=22)}
    return {name: ids.astype("int32") for name, ids in x.items()}, generator.normal(size=(22, 1))


@pytest.fixture
def compiled(monkeypatch):
    """Whether each step that was traced became one program."""
    seen, step = [], tensorflow_step.compiled_step

    def watched(model, batch):
        logs = step(model, batch)
        seen.append(logs is not None)
        return logs

    monkeypatch.setattr(tensorflow_step, "compiled_step", watched)
    return seen


def trained(data, optimizer, *, jit_compile, epochs=3, settings=None, **model):
    model = Model(**model)
    model.compile(optimizer, "mse", jit_compile=jit_compile, metrics=["mae"], **(settings or {}))
    history = model.fit(*data, batch_size=8, epochs=epochs, shuffle=False, verbose=0).history
    return model, history


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (lambda: RowwiseAdagrad(0.3, clipnorm=0.05), {"steps_per_execution": 2}),
        (lambda: LazyAdam(keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5), weight_decay=0.1), {}),
        (lambda: SparseSGD(0.3, global_clipnorm=0.2, loss_scale_factor=8.0), {}),
    ],
    ids=["row-wise", "adam", "sgd"],
)
def test_same_steps(data, compiled, make, settings):
    # The last batch of an epoch is smaller.
    found, history = trained(data, make(), jit_compile=True, settings=settings)
    expected, wanted = trained(data, make(), jit_compile=False)
    assert compiled
    assert all(compiled)
    for one, other in zip(found.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    for one, other in zip(found.optimizer.variables, expected.optimizer.variables, strict=True):
        assert one.path.split("/")[-1].split("_")[-1] == other.path.split("/")[-1].split("_")[-1]
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-5, atol=1e-6)
    for name, values in wanted.items():
        np.testing.assert_allclose(history[name], values, rtol=1e-5)


def test_untouched_rows_stay(data, compiled):
    model, _ = trained(data, LazyAdam(0.1), jit_compile=True, epochs=1)
    before = Model().other.embeddings.numpy()
    rows = np.flatnonzero((model.other.embeddings.numpy() != before).any(axis=1))
    np.testing.assert_array_equal(rows, np.unique(data[0]["single"]))
    assert all(compiled)


def test_refused_step_changes_nothing(data):
    x, y = data
    model = Model()
    model.compile(LazyAdam(0.1), "mse", jit_compile=True)
    model.train_on_batch(x, y)
    before = [*model.get_weights(), *(value.numpy() for value in model.optimizer.variables)]
    with pytest.raises(FloatingPointError, match="must be finite"):
        model.train_on_batch(x, np.where(np.arange(22)[:, None] == 3, np.nan, y))
    after = [*model.get_weights(), *(value.numpy() for value in model.optimizer.variables)]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
    model.train_on_batch(x, y)


@pytest.mark.parametrize("bad", [-1, ROWS])
def test_id_that_is_no_row_raises(data, bad):
    x, y = data
    model = Model()
    model.compile(SparseSGD(0.1), "mse", jit_compile=True)
    with pytest.raises(Exception, match=r"indices|ids"):
        model.train_on_batch({**x, "bags": np.where(x["bags"] == 3, bad, x["bags"])}, y)


@pytest.mark.parametrize(
    ("settings", "model"),
    [({"gradient_accumulation_steps": 2}, {}), ({}, {"noisy": True}), ({}, {"reads": True})],
    ids=["accumulated", "random ids", "table read"],
)
@pytest.mark.filterwarnings("ignore:The gradient of the table:UserWarning")
def test_step_of_single_ops_where_it_cannot_be_one_program(data, compiled, settings, model):
    found, _ = trained(data, LazyAdam(0.1, **settings), jit_compile=True, **model)
    expected, _ = trained(data, LazyAdam(0.1, **settings), jit_compile=False, **model)
    assert compiled
    assert not any(compiled)
    for one, other in zip(found.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_not_compiled_unless_asked(data, compiled):
    trained(data, SparseSGD(0.1), jit_compile="auto", epochs=1)
    assert not compiled
