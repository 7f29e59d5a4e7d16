"""The adversarial step against the eigenvector that it seeks; configuration and bad values."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from keras import ops
from scipy.special import expit, softmax

from noisy_labels.proportions.llp_fc import LLPFCLoss
from noisy_labels.proportions.llp_vat import LLPVATModel, divergence, virtual_adversarial_step

RNG = np.random.default_rng(0)


def test_step_of_a_logistic_model_is_along_its_weights():
    x, start, kernel = RNG.normal(size=(6, 3)), RNG.normal(size=(6, 3)), np.array([1.0, -2.0, 0.5])

    def predict(rows):
        z = ops.matmul(rows, kernel[:, None])
        return ops.concatenate([ops.log_sigmoid(-z), ops.log_sigmoid(z)], axis=1)

    given = {"radius": 0.3, "probe": 1e-4, "n_steps": 1}
    step = np.asarray(
        virtual_adversarial_step(predict, ops.convert_to_tensor(x), ops.convert_to_tensor(start), **given)
    )
    expected = 0.3 * np.sign(start @ kernel)[:, None] * kernel / np.linalg.norm(kernel)
    np.testing.assert_allclose(step, expected, atol=1e-6)


def test_step_turns_to_the_first_eigenvector_of_the_divergence():
    x, start, kernel = RNG.normal(size=(4, 3)), RNG.normal(size=(4, 3)), RNG.normal(size=(3, 4))

    def predict(rows):
        return ops.log_softmax(ops.matmul(rows, kernel))

    given = {"radius": 2.0, "probe": 1e-4, "n_steps": 60}
    step = np.asarray(
        virtual_adversarial_step(predict, ops.convert_to_tensor(x), ops.convert_to_tensor(start), **given)
    )
    for row, found in zip(x, step, strict=True):
        p = softmax(row @ kernel)
        hessian = kernel @ (np.diag(p) - np.outer(p, p)) @ kernel.T
        first = np.linalg.eigh(hessian)[1][:, -1]
        assert np.linalg.norm(found) == pytest.approx(2.0)
        assert abs(found @ first) == pytest.approx(2.0, rel=1e-3)


def test_divergence():
    p, q = RNG.dirichlet(np.ones(4), 3), RNG.dirichlet(np.ones(4), 3)
    found = np.asarray(divergence(ops.convert_to_tensor(np.log(p)), ops.convert_to_tensor(np.log(q))))
    np.testing.assert_allclose(found, (p * np.log(p / q)).sum(axis=1))


def test_configuration_and_prediction():
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model = LLPVATModel(network, weight=0.2, radius=2.0, probe=0.1, n_steps=2, seed=7)
    copy = LLPVATModel.from_config(json.loads(json.dumps(model.get_config())))
    mine, theirs = model.get_config(), copy.get_config()
    assert mine.pop("network")["class_name"] == theirs.pop("network")["class_name"] == "Sequential"
    assert theirs == mine
    assert (mine["weight"], mine["radius"], mine["probe"], mine["n_steps"], mine["seed"]) == (
        0.2,
        2,
        0.1,
        2,
        7,
    )
    x = RNG.normal(size=(5, 2)).astype("float32")
    kernel, bias = network.layers[0].get_weights()
    np.testing.assert_allclose(expit(model(x)), expit(x @ kernel + bias), rtol=1e-5)
    assert not model.losses  # in training alone
    model(x, training=True)
    assert len(model.losses) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": -1.0}, "`weight` must be in"),
        ({"radius": 0.0}, "`radius` must be in"),
        ({"probe": np.nan}, "`probe` must be in"),
        ({"n_steps": 0}, "`n_steps` must be at least 1"),
        ({"seed": -1}, "`seed` must be at least 0"),
    ],
)
def test_bad_values(change, message):
    with pytest.raises(ValueError, match=message):
        LLPVATModel(keras.Sequential([keras.layers.Dense(1)]), **change)


def test_forward_correction_needs_every_class():
    with pytest.raises(ValueError, match=r"`prior` must be above 0 for each class; got \[0.5, 0.5, 0.0\]"):
        LLPFCLoss([0.5, 0.5, 0.0])
