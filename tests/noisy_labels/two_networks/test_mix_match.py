"""DivideMix's arithmetic against slow loops and scikit-learn's mixture."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops
from sklearn.mixture import GaussianMixture

from noisy_labels.two_networks.mix_match import confidence, mix_match_loss, refine_labels, sharpen
from noisy_labels.two_networks.mixture_split import clean_probability


def array(tensor):
    return ops.convert_to_numpy(tensor)


def two_groups():
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(0.3, 0.1, 300), rng.normal(2.0, 0.5, 100)]).clip(0)


def test_clean_is_the_component_with_the_lower_mean():
    losses = two_groups()
    found = clean_probability(losses)
    assert found[:300].mean() > 0.95
    assert found[300:].mean() < 0.05
    scaled = ((losses - losses.min()) / (losses.max() - losses.min()))[:, None]
    mixture = GaussianMixture(2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=0).fit(scaled)
    expected = mixture.predict_proba(scaled)[:, mixture.means_.argmin()]
    np.testing.assert_allclose(found, expected)


def test_only_the_order_and_spread_of_losses_count():
    losses = two_groups()
    np.testing.assert_allclose(clean_probability(7 * losses + 3), clean_probability(losses), atol=1e-8)
    assert clean_probability(np.full(5, 2.0)).tolist() == [1.0] * 5
    assert clean_probability([1.0]).tolist() == [1.0]
    with pytest.raises(ValueError, match="`losses` must be finite"):
        clean_probability([1.0, np.nan])
    with pytest.raises(ValueError, match="`losses` must be non-empty"):
        clean_probability([])


def test_sharpening_and_refining_by_hand():
    p = np.array([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0]], dtype="float32")
    squares = p**2
    np.testing.assert_allclose(
        array(sharpen(p, 0.5)), squares / squares.sum(axis=1, keepdims=True), atol=1e-6
    )
    np.testing.assert_allclose(array(sharpen(p, 1.0)), p, atol=1e-6)
    mixed = np.array([[0.25 * 0.5, 0.25 * 0.3 + 0.75, 0.25 * 0.2]])
    found = refine_labels(np.array([1]), np.array([0.75], dtype="float32"), p[:1], 1.0)
    np.testing.assert_allclose(array(found), mixed, atol=1e-6)


def test_loss_equals_the_slow_loop():
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(7, 3)).astype("float32")
    targets = rng.dirichlet(np.ones(3), size=7).astype("float32")
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labelled = np.mean([-sum(targets[i, c] * np.log(p[i, c]) for c in range(3)) for i in range(4)])
    unlabelled = np.mean([(p[i, c] - targets[i, c]) ** 2 for i in range(4, 7) for c in range(3)])
    mean = p.mean(axis=0)
    uniform = sum(1 / 3 * np.log((1 / 3) / mean[c]) for c in range(3))
    found = float(mix_match_loss(logits, targets, 4, 25.0))
    assert found == pytest.approx(labelled + 25 * unlabelled + uniform, rel=1e-5)
    assert float(confidence(logits)) == pytest.approx(np.mean((p * np.log(p)).sum(axis=1)), rel=1e-5)
