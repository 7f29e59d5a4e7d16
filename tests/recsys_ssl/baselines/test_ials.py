from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.sparse import csr_array, csr_matrix
from threadpoolctl import threadpool_limits

from recsys_ssl.baselines import IALS
from sparse_data.datasets import Interactions, make_interactions


@pytest.fixture(scope="module")
def log():
    return make_interactions(40, 25, 400, random_state=3).interactions


def weights_of(log, seed=None):
    weights = np.zeros((40, 25))
    values = 1.0 if seed is None else np.random.default_rng(seed).uniform(0.5, 3.0, size=len(log))
    weights[log.user_ids, log.item_ids] = values
    return weights


def objective(weights, users, items, *, unobserved_weight, regularization, exponent):
    """Return the loss of the class docstring, over every cell."""
    observed = weights > 0
    predicted = users @ items.T
    loss = (weights * (predicted - 1) ** 2)[observed].sum() + unobserved_weight * (predicted**2).sum()
    user_terms = (observed.sum(axis=1) + unobserved_weight * items.shape[0]) ** exponent
    item_terms = (observed.sum(axis=0) + unobserved_weight * users.shape[0]) ** exponent
    ridge = (user_terms * (users**2).sum(axis=1)).sum() + (item_terms * (items**2).sum(axis=1)).sum()
    return loss + regularization * ridge


@pytest.mark.parametrize("seed", [None, 0], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_a_half_step_is_the_minimum(log, exponent, seed):
    """After the last half step no item vector can be moved without raising the loss."""
    weights = weights_of(log, seed)
    weighted = log if seed is None else log.replace(weights=weights[log.user_ids, log.item_ids])
    settings = {"regularization": 0.02, "unobserved_weight": 0.3}
    model = IALS(3, n_iterations=2, frequency_exponent=exponent, random_state=0, **settings).fit(weighted)
    users, items = model.user_factors_.astype(np.float64), model.item_factors_.astype(np.float64)
    best = objective(weights, users, items, exponent=exponent, **settings)
    generator = np.random.default_rng(1)
    for scale in (1e-1, 1e-2):
        for _ in range(30):
            moved = items + scale * generator.normal(size=items.shape)
            assert objective(weights, users, moved, exponent=exponent, **settings) > best
    # The gradient by central differences is zero.
    for _ in range(5):
        direction = generator.normal(size=items.shape)
        ahead, behind = (
            objective(weights, users, items + step * direction, exponent=exponent, **settings)
            for step in (1e-4, -1e-4)
        )
        assert abs(ahead - behind) / 2e-4 < 1e-3 * best


def test_every_pass_lowers_the_loss(log):
    losses = []
    for n_iterations in (1, 2, 4, 8):
        model = IALS(3, n_iterations=n_iterations, random_state=0).fit(log)
        losses.append(
            objective(
                weights_of(log), model.user_factors_.astype(float), model.item_factors_.astype(float),
                unobserved_weight=0.1, regularization=0.003, exponent=1.0,
            )
        )  # fmt: skip
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize("seed", [None, 0], ids=["unweighted", "weighted"])
def test_as_many_gradient_steps_as_dimensions_solve_exactly(log, seed):
    if seed is not None:
        log = log.replace(weights=weights_of(log, seed)[log.user_ids, log.item_ids])
    exact = IALS(4, n_iterations=1, random_state=0).fit(log)
    steps = IALS(4, n_iterations=1, n_gradient_steps=8, random_state=0).fit(log)
    np.testing.assert_allclose(
        steps.user_factors_ @ steps.item_factors_.T, exact.user_factors_ @ exact.item_factors_.T, atol=1e-3
    )


def test_few_gradient_steps_reach_the_same_loss(log):
    losses = [
        objective(
            weights_of(log), model.user_factors_.astype(float), model.item_factors_.astype(float),
            unobserved_weight=0.1, regularization=0.003, exponent=1.0,
        )
        for model in (
            IALS(4, n_iterations=30, n_gradient_steps=steps, random_state=0).fit(log) for steps in (None, 3)
        )
    ]  # fmt: skip
    assert losses[1] == pytest.approx(losses[0], rel=0.01)


@pytest.mark.parametrize("n_gradient_steps", [None, 8])
def test_a_half_step_equals_that_of_implicit(log, n_gradient_steps):
    """Implicit solves (Y'Y + Σ (C - 1) y y' + λ I) x = Σ C y, which with C = 1 + 1/α₀ is ours over α₀.

    Only its right side is larger, by the factor C / (C - 1).
    """
    als = pytest.importorskip("implicit.cpu.als")
    confidence = csr_matrix(np.where(weights_of(log) > 0, 1 + 1 / 0.25, 0.0))
    with threadpool_limits(1, user_api="blas"):
        theirs = als.AlternatingLeastSquares(
            factors=3, regularization=0.5 / 0.25, iterations=5, use_cg=False, random_state=0
        )
        theirs.fit(confidence, show_progress=False)
    ours = IALS(
        3,
        regularization=0.5,
        unobserved_weight=0.25,
        frequency_exponent=0.0,
        n_gradient_steps=n_gradient_steps,
    )
    items = np.zeros((25, 3), dtype=np.float32)
    by_item = csr_array(csr_array(weights_of(log).astype(np.float32)).T)
    with ThreadPoolExecutor(2) as pool:
        ours._solve(by_item, theirs.user_factors, items, pool)
    np.testing.assert_allclose(items, 4 / 5 * theirs.item_factors, rtol=1e-3, atol=1e-5)


def test_same_random_state_same_vectors(log):
    first, again, other = (IALS(3, random_state=state).fit(log) for state in (1, 1, 2))
    np.testing.assert_array_equal(first.item_factors_, again.item_factors_)
    assert np.abs(first.item_factors_ - other.item_factors_).max() > 1e-3


def test_planted_preferences_are_found():
    planted = make_interactions(300, 80, 6000, dim=4, power=0.5, affinity=4.0, random_state=0)
    model = IALS(8, regularization=0.01, unobserved_weight=0.3, random_state=0).fit(planted.interactions)
    truth = planted.preference(model.user_ids_)[:, model.item_ids_]
    scores = model._score_block(np.arange(model.user_ids_.size))
    correlations = [np.corrcoef(left, right)[0, 1] for left, right in zip(truth, scores, strict=True)]
    assert np.mean(correlations) > 0.6


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dim", 0),
        ("regularization", 0.0),
        ("unobserved_weight", -0.1),
        ("n_iterations", 0),
        ("frequency_exponent", -1.0),
        ("init_scale", 0.0),
        ("n_gradient_steps", 0),
    ],
)
def test_bad_parameters(log, name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        IALS(**{name: value}).fit(log)


def test_more_users_than_pieces_and_the_reverse():
    one = IALS(2, random_state=0).fit(Interactions(["u"], ["a"]))
    assert np.isfinite(one.user_factors_).all()
    log = Interactions(np.arange(500), np.zeros(500, dtype=int))
    assert np.isfinite(IALS(2, random_state=0).fit(log).user_factors_).all()
