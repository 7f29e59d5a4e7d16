"""Coding rates against values worked out by hand, the form with dense memberships, and invariances."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisy_labels.node_labels.coding_rate import (
    class_coding_rate,
    coding_rate,
    coding_rate_loss,
    rate_reduction,
)

HAND = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)


def with_memberships(Z, labels, eps, gamma1):
    """Both rates, with a diagonal (N, N) matrix a class, as the paper writes them."""
    n_rows, dim = Z.shape
    eye = torch.eye(dim, dtype=Z.dtype)
    whole = 0.5 * torch.logdet(eye + gamma1 * dim / (n_rows * eps) * Z.T @ Z)
    classes = Z.new_zeros(())
    for label in range(int(labels.max()) + 1):
        membership = torch.diag((labels == label).to(Z.dtype))
        count = membership.trace() + 1e-300
        gram = dim / (count * eps) * Z.T @ membership @ Z
        classes = classes + count / (2 * n_rows) * torch.logdet(eye + gram)
    return whole, classes


def rows(n_rows, dim, n_classes, seed, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    Z = torch.randn(n_rows, dim, generator=generator, dtype=torch.float64).to(dtype)
    return Z, torch.randint(0, n_classes, (n_rows,), generator=generator)


def test_values_by_hand():
    labels = torch.tensor([0, 1, 0, 1])
    assert coding_rate(HAND, eps=0.5).item() == pytest.approx(math.log(3), abs=1e-12)
    assert class_coding_rate(HAND, labels, eps=0.5).item() == pytest.approx(math.log(5) / 2, abs=1e-12)
    assert rate_reduction(HAND, labels, eps=0.5).item() == pytest.approx(0.293893, abs=1e-6)
    loss = coding_rate_loss(HAND, labels, eps=0.5, gamma1=1.0, gamma2=3.0)
    assert loss.item() == pytest.approx(math.log(5) / 2 - 3 * math.log(3), abs=1e-12)


# Fewer rows than columns, or than three quarters of them, in all, in some and in no class; an empty class.
@pytest.mark.parametrize(("n_rows", "dim"), [(4, 9), (18, 8), (30, 8), (60, 5), (1, 3), (3, 1)])
@pytest.mark.parametrize("labels_step", [1, 2])
def test_equals_the_form_with_memberships(n_rows, dim, labels_step):
    Z, labels = rows(n_rows, dim, 3, seed=n_rows)
    labels = labels * labels_step
    Z.requires_grad_(True)
    whole, classes = with_memberships(Z, labels, 0.3, 0.7)
    (wanted,) = torch.autograd.grad(0.7 * classes - 2.5 * whole, Z)
    loss = coding_rate_loss(Z, labels, eps=0.3, gamma1=0.7, gamma2=2.5)
    (found,) = torch.autograd.grad(loss, Z)
    assert coding_rate(Z, eps=0.3, gamma1=0.7).item() == pytest.approx(whole.item(), rel=1e-10)
    assert class_coding_rate(Z, labels, eps=0.3).item() == pytest.approx(classes.item(), rel=1e-10)
    assert loss.item() == pytest.approx((0.7 * classes - 2.5 * whole).item(), rel=1e-10)
    torch.testing.assert_close(found, wanted, rtol=1e-8, atol=1e-10)


def test_float32_is_good_to_six_digits():
    Z, labels = rows(300, 40, 5, seed=0, dtype=torch.float32)
    Z = torch.nn.functional.normalize(Z.relu(), p=1.0, dim=1)
    whole, classes = with_memberships(Z.double(), labels, 0.05, 1.0)
    loss = coding_rate_loss(Z, labels, eps=0.05)
    assert loss.item() == pytest.approx((classes - 2 * whole).item(), rel=2e-6)


@pytest.mark.parametrize(("n_rows", "dim"), [(9, 3), (4, 6), (8, 4)])
def test_gradients(n_rows, dim):
    Z, labels = rows(n_rows, dim, 2, seed=1)
    Z.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda Z: coding_rate(Z, eps=0.4, gamma1=0.5), (Z,))
    assert torch.autograd.gradcheck(lambda Z: class_coding_rate(Z, labels, eps=0.4), (Z,))
    assert torch.autograd.gradcheck(lambda Z: coding_rate_loss(Z, labels, eps=0.4, gamma2=3.0), (Z,))


@settings(deadline=None, max_examples=30)
@given(
    n_rows=st.integers(1, 12), dim=st.integers(1, 8), n_classes=st.integers(1, 4), seed=st.integers(0, 999)
)
def test_invariances(n_rows, dim, n_classes, seed):
    Z, labels = rows(n_rows, dim, n_classes, seed)
    value = rate_reduction(Z, labels, eps=0.2).item()
    order = torch.randperm(n_rows, generator=torch.Generator().manual_seed(seed))
    rotation, _ = torch.linalg.qr(rows(dim, dim, 1, seed + 1)[0])
    assert rate_reduction(Z[order], labels[order], eps=0.2).item() == pytest.approx(value, abs=1e-9)
    assert rate_reduction(Z @ rotation, labels, eps=0.2).item() == pytest.approx(value, abs=1e-9)
    # log det is concave, so coding by class never costs more; one class saves nothing.
    assert value >= -1e-9
    assert rate_reduction(Z, torch.zeros_like(labels), eps=0.2).item() == pytest.approx(0, abs=1e-9)


def test_orthogonal_classes_are_the_best():
    angles = torch.linspace(0, math.pi / 2, 10, dtype=torch.float64)
    values = [
        rate_reduction(
            torch.stack([torch.tensor([1.0, 0.0]).double(), torch.stack([a.cos(), a.sin()])]),
            torch.tensor([0, 1]),
            eps=0.5,
        ).item()
        for a in angles
    ]
    assert values == sorted(values)
    assert values[0] == pytest.approx(0, abs=1e-12)


def test_inputs_stay_as_they_are():
    Z, labels = rows(10, 4, 3, seed=0)
    kept, kept_labels = Z.clone(), labels.clone()
    coding_rate_loss(Z.requires_grad_(True), labels, eps=0.1).backward()
    assert torch.equal(Z.detach(), kept)
    assert torch.equal(labels, kept_labels)


@pytest.mark.parametrize(
    ("Z", "labels", "numbers", "error", "message"),
    [
        (HAND.long(), [0, 1, 0, 1], {}, TypeError, "`Z` must be a floating tensor; got torch.int64"),
        (HAND.numpy(), [0, 1, 0, 1], {}, TypeError, "got ndarray"),
        (HAND[0], [0], {}, ValueError, r"shape \(N, d\); got \(2,\)"),
        (HAND[:0], [], {}, ValueError, r"got \(0, 2\)"),
        (HAND, [0, 1, 0], {}, ValueError, r"`labels` must be of shape \(4,\)"),
        (HAND, [0, -1, 0, 1], {}, ValueError, "`labels` must be from 0; got -1"),
        (HAND, [0.0, 1.0, 0.0, 1.0], {}, TypeError, "`labels` must be of an integer dtype"),
        (HAND, [0, 1, 0, 1], {"eps": 0.0}, ValueError, "`eps` must be in"),
        (HAND, [0, 1, 0, 1], {"gamma1": -1.0}, ValueError, "`gamma1` must be in"),
        (HAND, [0, 1, 0, 1], {"gamma2": -1.0}, ValueError, "`gamma2` must be in"),
        (HAND * math.nan, [0, 1, 0, 1], {}, ValueError, "`Z` must be finite"),
        (HAND * math.inf, [0, 1, 0, 1], {}, ValueError, "`Z` must be finite"),
    ],
)
def test_messages(Z, labels, numbers, error, message):
    with pytest.raises(error, match=message):
        coding_rate_loss(Z, torch.tensor(labels), **{"eps": 0.5, **numbers})
