"""Selection among many values, where a sample says where to look."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from graph import smallest
from graph.l0_projection import project_l0_
from graph.smallest import kth_smallest, smallest_mask

N = 50_000
GENERATOR = np.random.default_rng(0)
VALUES = {
    "normal": GENERATOR.standard_normal(N),
    "half of them 0": GENERATOR.standard_normal(N).clip(0),
    "few different": GENERATOR.integers(0, 3, N).astype(float),
    "all equal": np.ones(N),
    "sorted": np.arange(N, dtype=float),
    # What a sample at even distances sees is never what the others are.
    "periodic": np.where(np.arange(N) % (N // smallest._SAMPLE) == 0, -5.0, GENERATOR.standard_normal(N)),
    "with infinities": np.where(np.arange(N) % 7 == 0, np.inf, GENERATOR.standard_normal(N)),
}


@pytest.mark.parametrize("name", VALUES)
def test_same_as_sorting(name):
    values = torch.from_numpy(VALUES[name]).float()
    ascending = values.sort().values
    third = int((values <= values.quantile(1 / 3)).count_nonzero())  # where a run of equals ends
    for k in (1, 2, 100, N // 7, third, N // 2, N - N // 9, N - 1, N):
        assert kth_smallest(values, k) == ascending[k - 1]
        # Among equals the last go first: sorted by value, then from the last place.
        order = np.lexsort((-np.arange(N), values.numpy()))
        assert set(smallest_mask(values, k).nonzero()[:, 0].tolist()) == set(order[:k].tolist())


def test_half_precision():
    weights = torch.tensor([3.0, -1.0, 2.0, -4.0], dtype=torch.bfloat16)
    (mask,) = project_l0_(weights, 0.5)
    assert weights.tolist() == [3.0, 0.0, 0.0, -4.0]
    assert mask.tolist() == [True, False, False, True]


def test_infinite_weights_leave_no_nan():
    weights = torch.tensor([torch.inf, -torch.inf, 1.0, 2.0])
    project_l0_(weights, 0.75)
    assert weights.tolist() == [torch.inf, 0, 0, 0]
