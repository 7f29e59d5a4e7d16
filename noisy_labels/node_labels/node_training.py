"""Full-batch training of networks on the nodes of one graph, until the epoch that validation chooses."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import nll_loss
from tqdm.auto import tqdm

from noisy_labels.node_labels.labelled_graph import LabelledGraph


@dataclass(frozen=True)
class Optimization:
    """How long and how fast Adam trains, and whether a bar shows it."""

    epochs: int
    learning_rate: float
    weight_decay: float
    verbose: bool = False


@dataclass(frozen=True)
class BestEpoch:
    """The epoch, from 0, whose weights were kept, and its accuracy on the validation labels."""

    epoch: int
    val_score: float


def train_until_best(
    model: Module,
    graph: LabelledGraph,
    optimization: Optimization,
    *,
    loss: Callable[[int], Tensor],
    log_probs: Callable[[], Tensor],
    after_best: Callable[[], None] | None = None,
) -> BestEpoch:
    """Train in place and set the model back to the epoch with the best accuracy in validation.

    Of equal accuracies the epoch with the smaller loss on the validation labels is better.  Without
    validation nodes the last epoch stays.

    Parameters
    ----------
    model : Module
        Holds all weights; afterwards in evaluation mode.
    graph : LabelledGraph
    optimization : Optimization
    loss : callable
        Of the epoch; called in training mode.
    log_probs : callable
        Returns log-probabilities, shape (n_nodes, n_classes); called in evaluation mode without gradients.
    after_best : callable, optional
        Called in evaluation mode without gradients after each epoch that is the best so far.
    """
    optimizer = torch.optim.Adam(
        model.parameters(), lr=optimization.learning_rate, weight_decay=optimization.weight_decay
    )
    best, best_key, state = BestEpoch(0, float("nan")), (-1.0, 0.0), model.state_dict()
    epochs = tqdm(range(optimization.epochs), desc="fit", unit=" epochs", disable=not optimization.verbose)
    for epoch in epochs:
        model.train()
        optimizer.zero_grad()
        loss(epoch).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        model.eval()
        with torch.no_grad():
            key = _validate(log_probs, graph)
            if not graph.val.numel() or key > best_key:
                best, best_key = BestEpoch(epoch, key[0]), key
                if graph.val.numel():
                    state = copy.deepcopy(model.state_dict())
                if after_best is not None:
                    after_best()
    if graph.val.numel():
        model.load_state_dict(state)
    return best


def _validate(log_probs: Callable[[], Tensor], graph: LabelledGraph) -> tuple[float, float]:
    if not graph.val.numel():
        return float("nan"), 0.0
    given = log_probs()[graph.val]
    accuracy = (given.argmax(dim=1) == graph.val_codes).double().mean()
    return float(accuracy), -float(nll_loss(given, graph.val_codes))


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Draw from a generator with this seed inside, and from the caller's where it was before, outside."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
