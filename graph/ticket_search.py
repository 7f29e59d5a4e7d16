"""The frame of every search for a graph lottery ticket: checks, seeds, dense network, results, sweeps."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch.nn import Module

from graph.ticket import Ticket
from graph.ticket_measures import measure_ticket
from graph.ticket_tasks import Forward, Graphs, LinkTask, NodeTask, Task, call_network, check_outputs
from graph.ticket_training import Optimization, TrainedNetwork, evaluate, fresh_copy, predict, train_network
from sparse_data.checks import check_count, check_in_range, check_one_of
from sparse_data.tensor_checks import check_module
from sparse_data.type_checks import check_callable, check_list, check_path

if TYPE_CHECKING:
    import pandas


class TicketSearch(ABC):
    """Search for a ticket; what is common to `TeddyTicket` and the methods it is compared with.

    Parameters
    ----------
    model : Module
        Any network of message-passing layers.  It is copied, and the copies draw their weights anew.
    edge_sparsity, weight_sparsity : float, default=0.0
        Shares of edges and of weights to do without, in [0, 1).
    task : {"node", "link"}, default="node"
        `NodeTask`, or `LinkTask` on the three graphs of `RandomLinkSplit`.
    inductive : bool, default=False
        Whether a node task trains on the training nodes and the edges between them alone.  That graph and the
        whole one are sparsified each by itself.
    forward : callable, default=call_network
        From network and graph to logits, or to vectors for links.
    epochs : int, default=200
    learning_rate : float, default=0.01
    weight_decay : float, default=5e-4
    seed : int, default=0

    Attributes
    ----------
    model_ : Module
    edge_mask_ : bool tensor of shape (n_edges,)
        Of the test graph, which a transductive node task has alone.
    weight_mask_ : dict of str to bool tensor
        By the name of the parameter.
    graph_ : Data
        The sparse test graph.
    dense_model_ : Module
    val_score_, test_score_, dense_test_score_ : float
        Accuracy of nodes, area under the ROC curve of links.
    score_ : str
        What the edges were chosen by.
    """

    def __init__(
        self,
        model: Module,
        *,
        edge_sparsity: float = 0.0,
        weight_sparsity: float = 0.0,
        task: Literal["node", "link"] = "node",
        inductive: bool = False,
        forward: Forward = call_network,
        epochs: int = 200,
        learning_rate: float = 0.01,
        weight_decay: float = 5e-4,
        seed: int = 0,
    ) -> None:
        self.model = model
        self.edge_sparsity = edge_sparsity
        self.weight_sparsity = weight_sparsity
        self.task = task
        self.inductive = inductive
        self.forward = forward
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.seed = seed

    @abstractmethod
    def _tickets(
        self,
        start: Module,
        task: Task,
        graphs: Graphs,
        dense: TrainedNetwork,
        sparsities: Sequence[tuple[float, float]],
        optimization: Optimization,
    ) -> Iterator[Ticket]:
        """Yield a ticket for each pair of edge and weight sparsity, which rise."""

    def fit(self, data: Any) -> TicketSearch:
        """Find the ticket.

        Parameters
        ----------
        data : Data, or three of them for links

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            For arguments out of range or data without what the task needs, before any training.
        """
        dense, tickets, graphs, task = self._search(
            data, self.seed, [(self.edge_sparsity, self.weight_sparsity)]
        )
        (ticket,) = tickets
        self.model_ = ticket.network.model
        self.dense_model_ = dense.model
        self.edge_mask_ = ticket.edge_mask
        self.weight_mask_ = {name: weight.detach() != 0 for name, weight in self.model_.named_parameters()}
        self.graph_ = ticket.graphs.test
        self.val_score_ = ticket.network.val_score
        self.test_score_ = evaluate(self.model_, task, ticket.graphs.test, "test")
        self.dense_test_score_ = evaluate(dense.model, task, graphs.test, "test")
        self.score_ = ticket.score
        return self

    def sweep(
        self,
        data: Any,
        levels: Sequence[int] = (1, 5, 10, 15, 20),
        seeds: Sequence[int] = (0,),
        *,
        edge_rate: float = 0.05,
        weight_rate: float = 0.1,
    ) -> pandas.DataFrame:
        r"""Find tickets at several levels with several seeds; the dense network is trained once a seed.

        Level i does without :math:`1 - (1 - r)^i` of the edges and of the weights.

        Parameters
        ----------
        data : Data, or three of them for links
        levels : sequence of int, default=(1, 5, 10, 15, 20)
            In rising order.
        seeds : sequence of int, default=(0,)
        edge_rate, weight_rate : float, default=0.05, 0.1

        Returns
        -------
        pandas.DataFrame
            A row a ticket: what was asked for and kept, scores, agreement with the dense network, seconds of
            the dense network and of the search, cost of a prediction, bytes of a training step, diagnostics
            of the graph.
        """
        import pandas

        check_in_range("edge_rate", edge_rate, 0, 1, closed="left")
        check_in_range("weight_rate", weight_rate, 0, 1, closed="left")
        levels = [check_count("levels", level, minimum=0) for level in check_list("levels", levels)]
        if not levels or sorted(set(levels)) != levels:
            raise ValueError(f"`levels` must rise; got {levels}. Sort them and drop repeated ones.")
        seeds = [check_count("seeds", seed, minimum=0) for seed in check_list("seeds", seeds)]
        sparsities = [(1 - (1 - edge_rate) ** level, 1 - (1 - weight_rate) ** level) for level in levels]
        rows = []
        for seed in seeds:
            dense, tickets, graphs, task = self._search(data, seed, sparsities)
            dense_logits = predict(dense.model, task, graphs.test)
            dense_score = task.score(dense_logits, graphs.test, "test")
            for level, asked, ticket in zip(levels, sparsities, tickets, strict=True):
                shown = {"seed": seed, "level": level, "edge_sparsity": asked[0], "weight_sparsity": asked[1]}
                scores = {"dense_test_score": dense_score, "dense_seconds": dense.seconds}
                rows.append({**shown, **scores, **measure_ticket(ticket, task, dense_logits)})
        return pandas.DataFrame(rows)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write weights, masks and sparse edges; ``torch.load(path, weights_only=True)`` reads them.

        The file is a dict of ``state_dict``, ``weight_mask``, ``edge_index``, ``edge_mask`` and
        ``num_nodes``: a network of the same class runs with it where this library is not installed.

        Parameters
        ----------
        path : path
            A file, replaced once the new one is whole.

        Raises
        ------
        TypeError, ValueError
            If `path` is none, or a folder.
        OSError
            If it cannot be written; what stood there before stays.
        """
        file = check_path("path", path)
        content = {
            "state_dict": self.model_.state_dict(),
            "weight_mask": self.weight_mask_,
            "edge_index": self.graph_.edge_index,
            "edge_mask": self.edge_mask_,
            "num_nodes": self.graph_.num_nodes,
        }
        part = file.with_name(f".{file.name}.{os.getpid()}")
        try:
            with part.open("wb") as stream:
                torch.save(content, stream)
            os.replace(part, file)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def _search(
        self, data: Any, seed: int, sparsities: Sequence[tuple[float, float]]
    ) -> tuple[TrainedNetwork, list[Ticket], Graphs, Task]:
        task = self._checked_task()
        for edge_sparsity, weight_sparsity in sparsities:
            check_in_range("edge_sparsity", edge_sparsity, 0, 1, closed="left")
            check_in_range("weight_sparsity", weight_sparsity, 0, 1, closed="left")
        graphs = task.graphs(data)
        seed = check_count("seed", seed, minimum=0)
        optimization = Optimization(self.epochs, self.learning_rate, self.weight_decay, seed)
        start = fresh_copy(self.model, seed)
        check_outputs(start, task, graphs.train)
        dense = train_network(start, task, graphs, optimization)
        tickets = list(self._tickets(start, task, graphs, dense, sparsities, optimization))
        return dense, tickets, graphs, task

    def _checked_task(self) -> Task:
        check_module("model", self.model)
        check_callable("forward", self.forward, "Pass a function of network and graph.")
        check_count("epochs", self.epochs)
        check_in_range("learning_rate", self.learning_rate, 0, 1e30, closed="right")
        check_in_range("weight_decay", self.weight_decay, 0)
        if check_one_of("task", self.task, ("node", "link")) == "node":
            return NodeTask(self.forward, inductive=self.inductive)
        if self.inductive:
            raise ValueError(
                "`inductive` must be False for links; got True. Split with RandomLinkSplit instead."
            )
        return LinkTask(self.forward)
