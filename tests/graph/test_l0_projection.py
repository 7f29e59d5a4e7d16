from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.l0_projection import project_l0_
from sparse_data import ops_numpy

SHARES = st.integers(0, 100)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-4, 4), min_size=1, max_size=40), SHARES)
def test_same_as_the_oracle(values, percent):
    weights = torch.tensor(values, dtype=torch.float32)
    (mask,) = project_l0_(weights, percent / 100)
    n_kept = len(values) - -(-percent * len(values) // 100)  # in integers: n - ceil(p n)
    np.testing.assert_array_equal(weights, ops_numpy.project_l0(np.array(values, np.float32), n_kept))
    assert int(mask.sum()) == n_kept


def test_global_and_by_tensor():
    def tensors():
        return [torch.tensor([[5.0, -6.0], [7.0, 8.0]]), torch.tensor([1.0, 2.0, 3.0, -4.0])]

    one = tensors()
    masks = project_l0_(one, 0.5)
    assert [mask.tolist() for mask in masks] == [[[True, True], [True, True]], [False] * 4]
    assert one[0].tolist() == [[5, -6], [7, 8]]
    other = tensors()
    project_l0_(other, 0.5, scope="tensor")
    assert [values.tolist() for values in other] == [[[0, 0], [7, 8]], [0, 0, 3, -4]]


@pytest.mark.parametrize("sparsity", [0.0, 0.07, 0.5, 0.878, 1.0])
def test_parameters_of_a_network(sparsity):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(30, 20), torch.nn.Linear(20, 7))
    before = [weight.clone() for weight in network.parameters()]
    masks = project_l0_(network.parameters(), sparsity)
    total = sum(weight.numel() for weight in before)
    n_kept = sum(int(mask.sum()) for mask in masks)
    assert n_kept == math.floor(round((1 - sparsity) * total, 6))
    for weight, old, mask in zip(network.parameters(), before, masks, strict=True):
        assert weight.requires_grad
        assert torch.equal(weight.detach(), old.detach() * mask)


@pytest.mark.parametrize(
    ("weights", "options", "message"),
    [
        ([torch.tensor([1.0, torch.nan])], {}, "`params` must not be NaN"),
        ([], {}, "`params` must hold weights; got none"),
        ([torch.zeros(0)], {}, "`params` must hold weights; got none"),
        ([torch.ones(2)], {"sparsity": -0.1}, r"`sparsity` must be in \[0, 1\]; got -0.1"),
        ([torch.ones(2)], {"scope": "layer"}, "`scope` must be one of 'global', 'tensor'; got 'layer'"),
    ],
)
def test_refused(weights, options, message):
    copies = [weight.clone() for weight in weights]
    with pytest.raises(ValueError, match=message):
        project_l0_(weights, **{"sparsity": 0.5, **options})
    assert all(torch.equal(a, b) or a.isnan().any() for a, b in zip(weights, copies, strict=True))
