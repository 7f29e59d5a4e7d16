"""The epochs of ERASE: semantic labels, a step on the coding rates, a linear probe; the best is kept."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import normalize

from noisy_labels.node_labels.coding_rate import coding_rate_loss
from noisy_labels.node_labels.erase_encoders import EdgeIndexEncoder
from noisy_labels.node_labels.erase_minibatches import train_on_batches
from noisy_labels.node_labels.labelled_graph import LabelledGraph
from noisy_labels.node_labels.linear_probe import LinearProbe, fit_linear_probe
from noisy_labels.node_labels.neighbour_sampling import Block, NeighbourGraph
from noisy_labels.node_labels.semantic_labels import semantic_scores
from sparse_data.sparse_features import Features, read_features

_SPARSE_SHARE = 0.2  # more than elsewhere: dropout of what is 0 costs more than a dense product saves


@dataclass(frozen=True)
class Recipe:
    """The numbers of ERASE, by the names of `ERASEClassifier`."""

    gamma1: float
    gamma2: float
    eps: float
    alpha: float
    beta: float
    steps: int
    epochs: int
    patience: int | None
    learning_rate: float
    weight_decay: float
    batch_size: int | None
    fanouts: Sequence[int]
    averaging: float
    refinements: int


class TrainingGraph:
    """A labelled graph in the forms that training needs.

    Parameters
    ----------
    graph : LabelledGraph

    Attributes
    ----------
    features : Tensor or SparseRows
    neighbours : NeighbourGraph
    train, val : int64 tensors
    codes : int64 tensor of shape (n_nodes,)
        Classes of the training nodes, -1 elsewhere.
    val_codes : int64 array of shape (n_val,)
    n_classes : int
    """

    def __init__(self, graph: LabelledGraph) -> None:
        self.features = read_features(graph.nodes.x, most=_SPARSE_SHARE)
        self.neighbours = NeighbourGraph(graph.nodes.edge_index, len(graph.codes))
        self.train, self.val = graph.train, graph.val
        self.codes = torch.full_like(graph.codes, -1)
        self.codes[graph.train] = graph.codes[graph.train]
        self.val_codes = graph.val_codes.cpu().numpy()
        self.n_classes = len(graph.classes)


@dataclass(frozen=True, eq=False)
class TrainedERASE:
    """The best epoch, and how the others went.

    Parameters
    ----------
    probe : LinearProbe
        Of the embeddings with rows of length 1.
    scores : float tensor of shape (n_nodes, n_classes)
        Whose largest are the semantic labels.
    epoch : int
        From 0.
    val_score : float
        NaN without validation.
    history : list of dict
        "loss" and "val_score" of each epoch.
    """

    probe: LinearProbe
    scores: Tensor
    epoch: int
    val_score: float
    history: list[dict[str, float]]


@torch.no_grad()
def embed(encoder: Module, features: Features, blocks: Sequence[Block]) -> Tensor:
    """Return the embeddings of the targets of the last block, without dropout."""
    embeddings: Tensor = encoder.eval()(features, blocks)
    return embeddings


def train_erase(
    encoder: Module, data: TrainingGraph, denoised: Tensor, recipe: Recipe, epochs: Iterable[int]
) -> TrainedERASE:
    """Train an encoder in place and leave it as it was in its best epoch.

    Parameters
    ----------
    encoder : Module
        Of features and blocks.
    data : TrainingGraph
    denoised : float tensor of shape (n_nodes, n_classes)
    recipe : Recipe
    epochs : iterable of int
        Numbers of the epochs.
    """
    blocks = [data.neighbours.whole()] * len(recipe.fanouts)
    exam_features, exam_blocks, rows = _exam(encoder, data, blocks)
    optimizer = torch.optim.Adam(
        encoder.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, amsgrad=True
    )
    judged = copy.deepcopy(encoder) if recipe.averaging else encoder
    best: TrainedERASE | None = None
    best_state, probe, history = encoder.state_dict(), None, []
    for epoch in epochs:
        loss, scores = _train_epoch(encoder, data, denoised, recipe, blocks, optimizer)
        if recipe.averaging:
            _move_towards(judged, encoder, 1 - min(recipe.averaging, (epoch + 1) / (epoch + 10)))
        if data.val_codes.size or epoch == recipe.epochs - 1:
            Z = embed(judged, exam_features, exam_blocks)[rows]
            probe, val_score = _probe(Z, scores[data.train].argmax(1), data, probe)
        else:
            val_score = float("nan")
        history.append({"loss": loss, "val_score": val_score})
        if best is None or not val_score <= best.val_score:  # NaN: the last epoch
            if probe is None:
                continue
            best = TrainedERASE(probe, scores, epoch, val_score, history)
            best_state = copy.deepcopy(judged.state_dict())
        elif recipe.patience is not None and epoch - best.epoch >= recipe.patience:
            break
    assert best is not None
    encoder.load_state_dict(best_state)
    return best


def _exam(
    encoder: Module, data: TrainingGraph, blocks: Sequence[Block]
) -> tuple[Features, Sequence[Block], Tensor]:
    """Return what embeddings of training and validation nodes need, and the rows where they will be."""
    exam = torch.cat([data.train, data.val])
    if isinstance(encoder, EdgeIndexEncoder):  # of a depth that nobody has told
        return data.features, blocks, exam
    nodes, exact = data.neighbours.blocks(exam, [None] * len(blocks))
    return data.features[nodes], exact, torch.arange(len(exam), device=exam.device)


def _train_epoch(
    encoder: Module,
    data: TrainingGraph,
    denoised: Tensor,
    recipe: Recipe,
    blocks: Sequence[Block],
    optimizer: torch.optim.Optimizer,
) -> tuple[float, Tensor]:
    """Return the loss and the scores of semantic labels."""
    label = partial(
        semantic_scores,
        denoised=denoised,
        labelled=data.train,
        neighbours=data.neighbours.neighbours,
        alpha=recipe.alpha,
        beta=recipe.beta,
        steps=recipe.steps,
        refinements=recipe.refinements,
    )
    loss = partial(coding_rate_loss, eps=recipe.eps, gamma1=recipe.gamma1, gamma2=recipe.gamma2)
    if recipe.batch_size is not None:
        scores = label(embed(encoder, data.features, blocks))
        value = train_on_batches(
            encoder,
            data.features,
            data.neighbours,
            scores.argmax(1),
            batch_size=recipe.batch_size,
            fanouts=recipe.fanouts,
            loss=loss,
            optimizer=optimizer,
        )
        return value, scores
    optimizer.zero_grad()
    Z = encoder.train()(data.features, blocks)
    scores = label(Z.detach())
    total = loss(Z, scores.argmax(1))
    total.backward()
    optimizer.step()
    return float(total.detach()), scores


@torch.no_grad()
def _move_towards(average: Module, encoder: Module, step: float) -> None:
    """Move the weights of the average a part of the way; in the first epochs a longer one."""
    for weight, moved in zip(average.parameters(), encoder.parameters(), strict=True):
        weight.lerp_(moved, step)
    for buffer, new in zip(average.buffers(), encoder.buffers(), strict=True):
        buffer.copy_(new)


def _probe(
    Z: Tensor, labels: Tensor, data: TrainingGraph, start: LinearProbe | None
) -> tuple[LinearProbe, float]:
    """Fit the probe to semantic labels of the training nodes and return it with its validation accuracy."""
    rows = normalize(Z, dim=1).cpu().numpy()
    probe = fit_linear_probe(rows[: len(labels)], labels.cpu().numpy(), n_classes=data.n_classes, start=start)
    if not data.val_codes.size:
        return probe, float("nan")
    found = probe.predict_proba(rows[len(labels) :]).argmax(1)
    return probe, float(np.mean(found == data.val_codes))
