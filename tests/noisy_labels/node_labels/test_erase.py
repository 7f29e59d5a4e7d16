"""ERASEClassifier on a drawn graph: what it learns, what it reports, what it refuses, and how it is kept."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch_geometric.data import Data
from torch_geometric.nn import GATConv

from noisy_labels.node_labels.erase import ERASEClassifier
from noisy_labels.node_labels.neighbour_sampling import NeighbourGraph
from sparse_data.sparse_features import SparseRows, read_features

SMALL = {
    "hidden": 16,
    "embedding_dim": 24,
    "heads": 2,
    "epochs": 15,
    "learning_rate": 0.01,
    "random_state": 0,
}


def draw(n_nodes=240, seed=0) -> Data:
    """Return three communities; three in ten training labels are wrong, the others are clean."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n_nodes) % 3
    pairs = torch.randint(0, n_nodes, (2, 120 * n_nodes), generator=generator)
    same = y[pairs[0]] == y[pairs[1]]
    keep = torch.rand(pairs.shape[1], generator=generator) < torch.where(same, 0.2, 0.025)
    pairs = pairs[:, keep & (pairs[0] < pairs[1])].unique(dim=1)
    x = torch.randn(n_nodes, 12, generator=generator)
    x[torch.arange(n_nodes), y] += 2.0
    part = torch.rand(n_nodes, generator=generator)
    masks = {"train_mask": part < 0.3, "val_mask": (part >= 0.3) & (part < 0.5), "test_mask": part >= 0.5}
    wrong = (torch.rand(n_nodes, generator=generator) < 0.3) & masks["train_mask"]
    noisy = torch.where(wrong, (y + 1 + torch.arange(n_nodes) % 2) % 3, y)
    return Data(x, torch.cat([pairs, pairs.flip(0)], 1), y=noisy, y_clean=y, **masks)


@pytest.fixture(scope="module")
def data() -> Data:
    return draw()


@pytest.fixture(scope="module")
def fitted(data) -> ERASEClassifier:
    return ERASEClassifier(validation="clean", **{**SMALL, "epochs": 40}).fit(data)


def test_tolerates_wrong_labels(data, fitted):
    train, test = data.train_mask.numpy(), data.test_mask.numpy()
    noisy, clean = data.y.numpy(), data.y_clean.numpy()
    assert (fitted.predict()[test] == clean[test]).mean() > 0.95
    assert (noisy[train] == clean[train]).mean() < 0.75
    assert (fitted.semantic_labels_[train] == clean[train]).mean() > 0.9


def test_reports_the_quality_of_labels(data, fitted):
    train, wrong = data.train_mask.numpy(), (data.y != data.y_clean).numpy()
    assert np.isnan(fitted.label_quality_[~train]).all()
    quality = fitted.label_quality_[train]
    assert ((quality > 0) & (quality < 1)).all()
    assert quality[wrong[train]].max() < np.median(quality[~wrong[train]])
    assert set(fitted.noisy_idx_) <= set(np.flatnonzero(train))
    found = np.isin(np.flatnonzero(train), fitted.noisy_idx_)
    assert (found == wrong[train]).mean() > 0.9
    disagree = fitted.semantic_labels_ != data.y.numpy()
    assert fitted.noisy_idx_.tolist() == np.flatnonzero(train & disagree).tolist()


def test_counts_what_denoising_changed(data, fitted):
    train, y = data.train_mask, data.y
    matrix = torch.zeros(len(y), len(y), dtype=torch.float64)
    matrix[data.edge_index[1], data.edge_index[0]] = 1.0
    matrix[~train] = 0
    matrix[:, ~train] = 0
    matrix = torch.where(matrix.sum(0) > 0, matrix / matrix.sum(0).clamp(min=1), 0.0)
    mass = torch.nn.functional.one_hot(y, 3).double() * train[:, None]
    for _ in range(5):
        mass = 0.6 * mass + 0.4 * matrix @ mass
    assert fitted.n_denoised_ == int((mass[train].argmax(1) != y[train]).sum())
    assert fitted.n_denoised_ > 0


def test_history_and_validation(data, fitted):
    assert fitted.validation_ == "clean"
    scores = [epoch["val_score"] for epoch in fitted.history_]
    assert fitted.validation_score_ == max(scores)
    assert fitted.best_epoch_ == scores.index(max(scores))
    val = data.val_mask.numpy()
    found = (fitted.predict()[val] == data.y_clean.numpy()[val]).mean()
    assert found == pytest.approx(fitted.validation_score_)
    assert fitted.effective_rank_ > 2


def test_patience_and_no_validation(data):
    patient = ERASEClassifier(validation="clean", patience=2, **{**SMALL, "epochs": 60}).fit(data)
    assert len(patient.history_) == patient.best_epoch_ + 3 < 60
    last = ERASEClassifier(validation="none", **{**SMALL, "epochs": 4}).fit(data)
    assert last.best_epoch_ == 3
    assert np.isnan(last.validation_score_)


def test_noisy_validation_looks_at_no_clean_label(data):
    corrupted = copy.copy(data)
    corrupted.y_clean = torch.zeros_like(data.y)
    first, second = (
        ERASEClassifier(validation="noisy", **{**SMALL, "epochs": 4}).fit(given)
        for given in (data, corrupted)
    )
    assert first.history_ == second.history_
    assert np.array_equal(first.pred_probs_, second.pred_probs_)
    different = ERASEClassifier(validation="clean", **{**SMALL, "epochs": 4}).fit(corrupted)
    assert different.history_[0]["val_score"] != first.history_[0]["val_score"]


def test_arrays_hold_out_validation_nodes(data):
    y = torch.where(data.train_mask, data.y, -1).numpy()
    edges = data.edge_index.numpy()
    model = ERASEClassifier(**{**SMALL, "epochs": 4})
    model.fit(data.x.numpy(), y, edge_index=edges)
    judged = ~np.isnan(model.label_quality_)
    assert (y[judged] >= 0).all()
    assert 0 < (y >= 0).sum() - judged.sum() <= 0.2 * (y >= 0).sum()
    assert model.predict().shape == (240,)
    np.testing.assert_allclose(model.predict_proba().sum(axis=1), 1)


def test_without_a_training_mask_other_masks_are_left_out(data):
    given = data.clone()
    del given.train_mask
    model = ERASEClassifier(**{**SMALL, "epochs": 2}).fit(given)
    assert np.array_equal(~np.isnan(model.label_quality_), ~(data.val_mask | data.test_mask).numpy())
    assert "train_mask" not in given


def test_labels_need_not_be_consecutive(data):
    shifted = copy.copy(data)
    shifted.y = torch.tensor([3, 7, 20])[data.y]
    model = ERASEClassifier(**{**SMALL, "epochs": 3}).fit(shifted)
    assert model.classes_.tolist() == [3, 7, 20]
    assert set(model.predict()) <= {3, 7, 20}


def test_same_seed_same_result_and_global_generators_untouched(data):
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    models = [ERASEClassifier(**{**SMALL, "epochs": 3, "random_state": seed}).fit(data) for seed in (4, 4, 5)]
    assert torch.equal(torch.rand(1), expected)
    probabilities = [model.predict_proba() for model in models]
    assert np.array_equal(probabilities[0], probabilities[1])
    assert not np.array_equal(probabilities[0], probabilities[2])


def test_input_stays_as_it_is(data):
    before = data.clone()
    ERASEClassifier(variant="fixed", **{**SMALL, "epochs": 2}).fit(data)
    for name in before.to_dict():
        assert torch.equal(before[name], data[name]), name


def test_another_graph_and_copies(data, fitted):
    other = draw(seed=9)
    found = fitted.predict(other)
    assert (found == other.y_clean.numpy()).mean() > 0.9
    assert np.array_equal(fitted.predict(data), fitted.predict())
    assert np.array_equal(fitted.predict(other.x, edge_index=other.edge_index), found)
    rows = fitted.transform(other)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    for kept in (copy.deepcopy(fitted), pickle.loads(pickle.dumps(fitted))):
        assert np.array_equal(kept.predict_proba(other), fitted.predict_proba(other))
    fresh = clone(fitted)
    assert not hasattr(fresh, "encoder_")
    assert fresh.get_params() == fitted.get_params()


def test_state_dict_round_trip(data, fitted):
    other = ERASEClassifier(validation="clean", **{**SMALL, "epochs": 1, "random_state": 7}).fit(data)
    other.encoder_.load_state_dict(fitted.encoder_.state_dict())
    assert np.array_equal(other.transform(data), fitted.transform(data))


@pytest.mark.parametrize("encoder", ["gcn", "sage"])
def test_other_encoders(data, encoder):
    model = ERASEClassifier(encoder, validation="clean", **{**SMALL, "epochs": 40}).fit(data)
    assert (model.predict() == data.y_clean.numpy()).mean() > 0.9


class OneAttention(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = GATConv(12, 16)

    def forward(self, x, edge_index):
        return torch.nn.functional.normalize(self.layer(x, edge_index).relu(), p=1.0)


def test_a_module_is_copied_and_trained(data):
    module = OneAttention()
    before = module.layer.lin.weight.clone()
    arguments = {**SMALL, "epochs": 30}
    model = ERASEClassifier(module, num_neighbors=[5], validation="clean", **arguments).fit(data)
    assert torch.equal(module.layer.lin.weight, before)
    assert not torch.equal(model.encoder_.module.layer.lin.weight, before)
    assert (model.predict() == data.y_clean.numpy()).mean() > 0.8
    batched = ERASEClassifier(module, num_neighbors=[5], batch_size=64, **arguments).fit(data)
    assert (batched.predict() == data.y_clean.numpy()).mean() > 0.8


def test_mini_batches(data):
    model = ERASEClassifier(validation="clean", batch_size=50, num_neighbors=(4, 6), **SMALL).fit(data)
    test = data.test_mask.numpy()
    assert (model.predict()[test] == data.y_clean.numpy()[test]).mean() > 0.93


def test_a_mini_batch_has_its_seeds_alone_in_the_loss(data, monkeypatch):
    seen = []
    import noisy_labels.node_labels.erase_training as training

    exact = training.coding_rate_loss
    monkeypatch.setattr(
        training,
        "coding_rate_loss",
        lambda Z, *given, **rest: seen.append(len(Z)) or exact(Z, *given, **rest),
    )
    ERASEClassifier(batch_size=100, **{**SMALL, "epochs": 1}).fit(data)
    assert seen == [100, 100]  # of 240: the last 40 are fewer than half a batch


def test_fixed_variant_spreads_through_unlabelled_nodes():
    """A star without edges between labelled nodes: one wrong label among four that all hang on the centre."""
    spokes = torch.tensor([[0] * 5 + [6] * 5, [1, 2, 3, 4, 5, 7, 8, 9, 10, 11]])
    y = torch.tensor([-1, 0, 0, 0, 0, 1, -1, 1, 1, 1, 1, 0])
    x = torch.eye(12)
    data = Data(x, torch.cat([spokes, spokes.flip(0)], 1), y=y)
    arguments = {**SMALL, "validation": "none", "epochs": 1, "alpha": 0.1, "steps": 6}
    assert ERASEClassifier(variant="paper", **arguments).fit(data).n_denoised_ == 0
    assert ERASEClassifier(variant="fixed", **arguments).fit(data).n_denoised_ == 2


def test_fixed_variant_tolerates_labels_that_swap_two_classes(data):
    given = data.clone()
    generator = torch.Generator().manual_seed(0)
    swapped = (torch.rand(240, generator=generator) < 0.4) & (data.y_clean < 2)
    given.y = torch.where(swapped & data.train_mask, 1 - data.y_clean, data.y_clean)
    model = ERASEClassifier(variant="fixed", validation="clean", **{**SMALL, "epochs": 25}).fit(given)
    test = data.test_mask.numpy()
    assert (model.predict()[test] == data.y_clean.numpy()[test]).mean() > 0.9


def test_averaged_variant_predicts_by_a_mean_of_weights(data):
    arguments = {**SMALL, "validation": "none"}
    plain = ERASEClassifier(**{**arguments, "epochs": 1}).fit(data)
    averaged = ERASEClassifier(variant="averaged", **{**arguments, "epochs": 30}).fit(data)
    last = ERASEClassifier(**{**arguments, "epochs": 30}).fit(data)
    losses = [[epoch["loss"] for epoch in model.history_] for model in (averaged, last)]
    assert losses[0] == losses[1]  # training itself is the same
    weights = [model.encoder_.second.weight for model in (plain, averaged, last)]
    assert (weights[1] - weights[0]).norm() < (weights[2] - weights[0]).norm()
    assert (averaged.predict() == data.y_clean.numpy()).mean() > 0.9


@pytest.mark.parametrize(("share", "sparse"), [(0.1, True), (0.5, False)])
def test_few_values_are_kept_sparse(share, sparse):
    x = torch.zeros(10, 20)
    x.view(-1)[: round(200 * share)] = 1.5
    features = read_features(x, most=0.2)
    assert isinstance(features, SparseRows) == sparse
    assert torch.equal(features.dense() if sparse else features, x)


class Collapsed(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1, 6))

    def forward(self, x, edge_index):
        return x[:, :1].abs() * self.weight


def test_warns_of_collapsed_embeddings(data):
    with pytest.warns(UserWarning, match="effective rank of 1.00. Normalise its rows"):
        ERASEClassifier(Collapsed(), **{**SMALL, "epochs": 2}).fit(data)


def altered(data, **changes):
    other = copy.copy(data)
    for name, value in changes.items():
        other[name] = value
    return other


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (lambda d: {"x": d.x * torch.nan}, ValueError, "`X` must be finite"),
        (lambda d: {"x": None}, ValueError, "`X` must be given"),
        (lambda d: {"edge_index": d.edge_index + 1}, ValueError, r"`edge_index` must be in \[0, 240\)"),
        (lambda d: {"edge_index": d.edge_index - 1}, ValueError, r"`edge_index` must be in \[0, 240\)"),
        (
            lambda d: {"edge_index": d.edge_index.T},
            ValueError,
            r"`edge_index` must be of shape \(2, n_edges\)",
        ),
        (
            lambda d: {"edge_index": d.edge_index.float()},
            TypeError,
            "`edge_index` must be of an integer dtype",
        ),
        (lambda d: {"y": None}, ValueError, "`y` must be given"),
        (lambda d: {"y": d.y[:-1]}, ValueError, "must be of the same length"),
        (lambda d: {"y": torch.zeros_like(d.y)}, ValueError, "`y` must be of at least two classes"),
        (lambda d: {"train_mask": d.train_mask & False}, ValueError, "`train_mask` must hold a node"),
        (lambda d: {"y": torch.full_like(d.y, -1)}, ValueError, "`train_mask` must hold a node"),
        (lambda d: {"val_mask": d.train_mask}, ValueError, "`train_mask` and `val_mask` must be disjoint"),
        (lambda d: {"test_mask": d.val_mask}, ValueError, "`val_mask` and `test_mask` must be disjoint"),
        (lambda d: {"val_mask": d.val_mask & False}, ValueError, "validation nodes must be given"),
        (lambda d: {"train_mask": d.train_mask.long()}, ValueError, "`train_mask` must be a bool"),
    ],
)
def test_refuses_data(data, changes, error, message):
    with pytest.raises(error, match=message):
        ERASEClassifier(**SMALL).fit(altered(data, **changes(data)))


@pytest.mark.parametrize(
    ("parameter", "value", "error"),
    [
        ("variant", "new", ValueError),
        ("validation", "test", ValueError),
        ("encoder", "gin", ValueError),
        ("gamma1", 0.0, ValueError),
        ("gamma2", -1.0, ValueError),
        ("eps", 0.0, ValueError),
        ("alpha", 1.1, ValueError),
        ("beta", -0.1, ValueError),
        ("steps", -1, ValueError),
        ("epochs", 0, ValueError),
        ("patience", 0, ValueError),
        ("learning_rate", 0.0, ValueError),
        ("weight_decay", -1.0, ValueError),
        ("batch_size", 1, ValueError),
        ("num_neighbors", (5,), ValueError),
        ("heads", 3, ValueError),
        ("dropout", 1.0, ValueError),
        ("epochs", 1.5, TypeError),
    ],
)
def test_refuses_parameters(data, parameter, value, error):
    name = {"heads": "hidden", "encoder": "encoder"}.get(parameter, parameter)
    with pytest.raises(error, match=f"`{name}` must be"):
        ERASEClassifier(**{**SMALL, parameter: value}).fit(data)


def test_refuses_lazy_modules_and_other_features(data, fitted):
    lazy = torch.nn.LazyLinear(3)
    with pytest.raises(ValueError, match="`encoder` must have weights of known shape"):
        ERASEClassifier(lazy).fit(data)
    with pytest.raises(ValueError, match="`X` must have 12 features"):
        fitted.predict(data.x[:, :5], edge_index=data.edge_index)
    with pytest.raises(ValueError, match="`data` must have `val_mask` and `y_clean`"):
        ERASEClassifier(validation="clean", **SMALL).fit(altered(data, y_clean=None))


def test_isolated_nodes_and_no_edges(data):
    lonely = altered(data, edge_index=data.edge_index[:, :0])
    model = ERASEClassifier(**{**SMALL, "epochs": 2}).fit(lonely)
    assert np.isfinite(model.predict_proba()).all()
    assert NeighbourGraph(lonely.edge_index, 240).degrees.tolist() == [1.0] * 240
