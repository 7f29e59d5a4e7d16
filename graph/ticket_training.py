"""Training of one network on one graph, with what tickets need: a teacher and a constraint on the weights."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.parameter import is_lazy

from graph.matrix_layers import matrix_layers
from graph.ticket_tasks import Graphs, Task


@dataclass(frozen=True)
class Optimization:
    """How long and how fast Adam trains, and the seed of dropout."""

    epochs: int
    learning_rate: float
    weight_decay: float
    seed: int


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A network as it was in its best epoch.

    Parameters
    ----------
    model : Module
        In evaluation mode.
    val_score : float
    epoch : int
        From 0.
    seconds : float
        Of training and validation.
    """

    model: Module
    val_score: float
    epoch: int
    seconds: float


def train_network(
    start: Module,
    task: Task,
    graphs: Graphs,
    optimization: Optimization,
    *,
    teacher: Tensor | None = None,
    distillation: float = 0.0,
    constrain: Callable[[Module], Any] | None = None,
    penalty: Callable[[Module], Tensor] | None = None,
    without_decay: Collection[str] = (),
    graph_of_epoch: Callable[[int], Any] | None = None,
) -> TrainedNetwork:
    r"""Train a copy of a network and return it as it was in the epoch that was best in validation.

    .. math:: L = \mathrm{CE} + \lambda \, \mathrm{KL}(\text{teacher} \,\|\, \text{student})

    Parameters
    ----------
    start : Module
        Left as it is.
    task : NodeTask or LinkTask
    graphs : Graphs
    optimization : Optimization
    teacher : tensor, optional
        Logits on the training graph.
    distillation : float, default=0.0
        lambda.
    constrain : callable, optional
        Changes the weights of the network in place, at the start and after every step.
    penalty : callable, optional
        Of the network, added to the loss.
    without_decay : collection of str, default=()
        Parameters on which weight decay does not act.
    graph_of_epoch : callable, optional
        The training graph of each epoch, if it changes.
    """
    model = copy.deepcopy(start)
    optimizer = _adam(model, optimization, without_decay)
    began = time.perf_counter()
    if constrain is not None:
        constrain(model)
    divergence = None if teacher is None or not distillation else task.divergence_from(teacher)
    best, best_epoch, best_state = -1.0, 0, model.state_dict()
    features = [graph.x for graph in graphs if "x" in graph]
    with seeded(optimization.seed, graphs.train.edge_index.device), matrix_layers(model, features) as known:
        for epoch in range(optimization.epochs):
            graph = graphs.train if graph_of_epoch is None else graph_of_epoch(epoch)
            optimizer.zero_grad()
            with known:
                logits = task.outputs(model.train(), graph)
            loss = task.loss(logits, graph)
            if divergence is not None:
                loss = loss + distillation * divergence(logits)
            if penalty is not None:
                loss = loss + penalty(model)
            loss.backward()
            optimizer.step()
            if constrain is not None:
                constrain(model)
            with known:
                logits = predict(model, task, graphs.val)
            score = task.score(logits, graphs.val, "val")
            if score >= best:  # of equal epochs the last
                best, best_epoch, best_state = score, epoch, _copy_state(model)
    model.load_state_dict(best_state)
    return TrainedNetwork(model.eval(), best, best_epoch, time.perf_counter() - began)


def _adam(model: Module, optimization: Optimization, without_decay: Collection[str]) -> torch.optim.Adam:
    exempt = [weight for name, weight in model.named_parameters() if name in without_decay]
    decayed = [weight for name, weight in model.named_parameters() if name not in without_decay]
    groups = [
        {"params": decayed, "weight_decay": optimization.weight_decay},
        {"params": exempt, "weight_decay": 0.0},
    ]
    fused = all(weight.is_cpu and weight.is_floating_point() for weight in model.parameters())
    used = [group for group in groups if group["params"]]
    return torch.optim.Adam(used, lr=optimization.learning_rate, fused=fused or None)


def _copy_state(model: Module) -> dict[str, Any]:
    """Return a copy of what a network has learned; to clone tensors is several times faster than deepcopy."""
    state = model.state_dict()
    return {
        key: value.clone() if isinstance(value, Tensor) else copy.deepcopy(value)
        for key, value in state.items()
    }


@torch.no_grad()
def predict(model: Module, task: Task, graph: Any) -> Tensor:
    """Return the logits in evaluation mode, in which the network stays."""
    return task.outputs(model.eval(), graph)


def evaluate(model: Module, task: Task, graph: Any, split: str) -> float:
    """Return the score of a network on one split."""
    return task.score(predict(model, task, graph), graph, split)


def fresh_copy(model: Module, seed: int) -> Module:
    """Return a copy with weights drawn anew, wherever a module knows how to.

    Raises
    ------
    ValueError
        If weights have no shape yet.
    """
    if any(is_lazy(weight) for weight in model.parameters()):
        raise ValueError(
            "`model` must have weights of known shape; got lazy ones. Call it once on the data beforehand."
        )
    fresh = copy.deepcopy(model)
    device = next((weight.device for weight in model.parameters()), torch.device("cpu"))
    modules = [fresh] if hasattr(fresh, "reset_parameters") else list(fresh.modules())
    with seeded(seed, device):
        for module in modules:
            reset: Any = getattr(module, "reset_parameters", None)
            if reset is not None:
                reset()
    return fresh


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Draw from a generator with this seed inside, and from the caller's where it was before, outside."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
