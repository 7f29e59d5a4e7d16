"""Maps and dropout of features with few values that are not 0."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import dropout, linear

from graph.known_features import KnownFeatures
from sparse_data.sparse_features import SparseRows


@pytest.fixture
def words():
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(300, 400, generator=generator) < 0.03).float()


@pytest.mark.parametrize("rate", [0.5, 0.6, 0.003])
@pytest.mark.parametrize("known", [True, False])
def test_dropout_keeps_its_share_and_the_scale(words, rate, known):
    x = torch.arange(1.0, 120_001).view(300, 400) * (words if known else 1)
    torch.manual_seed(0)
    with KnownFeatures([x] if known else []):
        dropped = dropout(x, rate, training=True)
        assert torch.equal(dropout(x, rate, training=False), x)
    entries, kept = x != 0, dropped != 0
    assert not bool((kept & ~entries).any())
    torch.testing.assert_close(dropped[kept], x[kept] / (1 - rate), rtol=1e-4, atol=0)
    n_entries = int(entries.sum())
    spread = (rate * (1 - rate) / n_entries) ** 0.5
    assert abs(float(kept[entries].float().mean()) - (1 - rate)) < 4 * spread


def test_draws_are_fair_in_every_place(words):
    torch.manual_seed(0)
    x = torch.ones(11, 13)
    with KnownFeatures([]):
        shares = torch.stack([dropout(x, 0.5, training=True) != 0 for _ in range(2000)]).double().mean(0)
    assert float((shares - 0.5).abs().max()) < 0.056  # five deviations


def test_dropped_features_are_mapped_as_they_are(words):
    weight, bias = torch.randn(5, 400, requires_grad=True), torch.randn(5)
    with KnownFeatures([words]) as features:
        dropped = dropout(words, 0.3, training=True)
        assert isinstance(features.features_of(dropped), SparseRows)
        assert features.features_of(dropped.clone()) is None
        mapped = linear(dropped, weight, bias)
    torch.testing.assert_close(mapped, dropped @ weight.T + bias)


def test_the_seed_of_torch_decides(words):
    def drawn(seed):
        torch.manual_seed(seed)
        with KnownFeatures([words]):
            return dropout(words, 0.5, training=True)

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


def test_a_map_of_a_prediction_serves_one_step(words):
    weight = torch.randn(5, 400, requires_grad=True)
    with KnownFeatures([words]):
        with torch.no_grad():
            linear(words, weight)
        linear(words, weight).sum().backward()
        with torch.no_grad():
            weight.mul_(2)
        torch.testing.assert_close(linear(words, weight), words @ weight.T)
    torch.testing.assert_close(weight.grad, words.sum(0).expand(5, -1))


def test_other_tensors_are_left_alone():
    whole, rows = torch.eye(40).long(), torch.rand(3, 40, 40)
    with KnownFeatures([whole, rows]) as features:
        assert features.features_of(whole) is None
        assert features.features_of(rows) is None
        assert dropout(torch.zeros(0), 0.5, training=True).shape == (0,)
        assert dropout(torch.zeros(0), 0.3, training=True).shape == (0,)
