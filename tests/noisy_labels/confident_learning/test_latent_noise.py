"""Prior, transition matrix and inverse: a planted process is recovered, and cleanlab agrees."""

from __future__ import annotations

import numpy as np
import pytest

from noisy_labels.confident_learning.latent_noise import estimate_latent_noise

PRIORS = ("cnt", "eqn", "marginal", "marginal_ps")
PRIOR = np.array([0.5, 0.3, 0.2])
TRANSITION = np.array([[0.8, 0.15, 0.05], [0.1, 0.9, 0], [0.2, 0.1, 0.7]])
JOINT = (PRIOR[:, None] * TRANSITION).T * 10_000  # row: given class


@pytest.mark.parametrize("converge", [False, True])
@pytest.mark.parametrize("prior", PRIORS)
def test_exact_joint_gives_the_planted_process(prior, converge):
    counts = np.rint(JOINT.sum(axis=1)).astype(int)
    found = estimate_latent_noise(JOINT, counts, prior=prior, converge=converge)
    np.testing.assert_allclose(found.prior, PRIOR, atol=1e-9)
    np.testing.assert_allclose(found.transition, TRANSITION, atol=1e-9)
    np.testing.assert_allclose(found.inverse, JOINT / JOINT.sum(axis=1, keepdims=True), atol=1e-9)


@pytest.mark.parametrize("converge", [False, True])
@pytest.mark.parametrize("prior", PRIORS)
def test_estimates_equal_cleanlabs(prior, converge):
    count = pytest.importorskip("cleanlab.count")
    for seed in range(5):
        rng = np.random.default_rng(seed)
        joint = rng.integers(1, 20, (4, 4)) + np.diag(rng.integers(20, 60, 4))
        labels = np.repeat(np.arange(4), joint.sum(axis=1) + rng.integers(0, 3, 4))
        expected = count.estimate_latent(joint, labels, py_method=prior, converge_latent_estimates=converge)
        found = estimate_latent_noise(joint, np.bincount(labels), prior=prior, converge=converge)
        np.testing.assert_allclose(found.prior, expected[0], atol=1e-9)
        np.testing.assert_allclose(found.transition, expected[1].T, atol=1e-9)
        np.testing.assert_allclose(found.inverse, expected[2].T, atol=1e-9)


def test_bad_input():
    with pytest.raises(ValueError, match="`joint` must have a count in each row and column"):
        estimate_latent_noise([[1, 0], [2, 0]], [1, 2])
    with pytest.raises(ValueError, match=r"`joint` must be of shape \(3, 3\)"):
        estimate_latent_noise(np.eye(2), [1, 2, 3])
    with pytest.raises(ValueError, match="`joint` must be non-negative"):
        estimate_latent_noise([[1, -1], [2, 1]], [1, 2])
    with pytest.raises(ValueError, match="`prior` must be one of"):
        estimate_latent_noise(np.eye(2), [1, 2], prior="count")
    with pytest.raises(ValueError, match="sum of label_counts"):
        estimate_latent_noise(np.eye(2), [0, 0])
