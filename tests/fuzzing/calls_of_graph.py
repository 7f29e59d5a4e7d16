"""Valid calls of the public names of `graph`."""

from __future__ import annotations

import contextlib
import functools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from entry_points import Call, calling
from torch_geometric.data import Data, HeteroData
from torch_geometric.nn import GCN

import graph

ENDS = torch.tensor([[0, 1, 2, 3, 4, 5], [1, 2, 0, 4, 5, 3]])
EDGES = torch.cat([ENDS, ENDS.flip(0)], 1)
LABELS = torch.tensor([0, 0, 0, 1, 1, 1])
TRAIN = torch.arange(6) % 3 == 0


def _data(**changes: Any) -> Data:
    known = {"x": torch.eye(6), "edge_index": EDGES, "y": LABELS, "train_mask": TRAIN}
    return Data(**{**known, "val_mask": ~TRAIN, "test_mask": ~TRAIN, **changes})


def _ticket(kind: Any, name: str, **settings: Any) -> Call:
    """Find a ticket; the parts of the graph and the settings are spoilt."""

    def run(x: Any, edge_index: Any, y: Any, train_mask: Any, model: Any, **options: Any) -> Any:
        network = GCN(6, 4, 2, out_channels=2) if model is None else model
        return kind(network, **options).fit(_data(x=x, edge_index=edge_index, y=y, train_mask=train_mask))

    common = {
        "task": "node",
        "inductive": False,
        "learning_rate": 0.01,
        "weight_decay": 5e-4,
        "seed": 0,
        "epochs": 2,
    }
    parts = {"x": torch.eye(6), "edge_index": EDGES, "y": LABELS, "train_mask": TRAIN, "model": None}
    sparsities = {"edge_sparsity": 0.34, "weight_sparsity": 0.5}
    found = calling(name, kind, model=None, slow=True)
    arguments = {**common, **sparsities, **settings, **parts}
    return Call(name, run, arguments, found.errors, slow=True)


def _link_ticket() -> Call:
    """Find a ticket for links; what is spoilt is one of the three graphs."""
    pairs = {
        "edge_label": torch.tensor([1, 0, 1, 0]),
        "edge_label_index": torch.tensor([[0, 0, 1, 2], [1, 4, 2, 3]]),
    }

    def run(data: Any, **settings: Any) -> Any:
        graphs = [_graph_of(one) for one in data] if isinstance(data, list) else data
        return graph.TeddyTicket(GCN(6, 4, 2), task="link", epochs=2, **settings).fit(graphs)

    parts = {"x": torch.eye(6), "edge_index": EDGES, **pairs}
    arguments = {"data": [parts, parts, parts], "edge_sparsity": 0.34, "forward": _linked, "guard": None}
    return Call(
        "graph.TeddyTicket", run, arguments, calling("", graph.TeddyTicket, model=None).errors, slow=True
    )


def _graph_of(parts: Any) -> Any:
    named = isinstance(parts, dict) and all(isinstance(name, str) for name in parts)
    return Data(**parts) if named else parts


def _linked(model: Any, data: Any) -> Any:
    return model(data.x, data.edge_index)


def _swept(model: Any, **settings: Any) -> Any:
    search = graph.MagnitudeTicket(GCN(6, 4, 2, out_channels=2), score="random", epochs=2)
    return search.sweep(_data() if model is None else model, **settings)


def _saved(path: Any) -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        _found().save(path)


@functools.cache
def _found() -> Any:
    return graph.DropEdgeTicket(GCN(6, 4, 2, out_channels=2), edge_sparsity=0.3, epochs=2).fit(_data())


def _of_two_kinds(edge_index: Any, num_nodes: Any, **settings: Any) -> Any:
    data = HeteroData({"user": {"num_nodes": num_nodes}, "item": {"num_nodes": 6}})
    data["user", "buys", "item"].edge_index = edge_index
    return graph.SparsifyEdges(**settings)(data)


def _sparsified(edge_index: Any, num_nodes: Any, **settings: Any) -> Any:
    return graph.SparsifyEdges(**settings)(Data(edge_index=edge_index, num_nodes=num_nodes))


def _messages(mask: Any, edge_index: Any) -> None:
    network = GCN(6, 4, 2, out_channels=2)
    with graph.masked_messages(network, mask, edge_index):
        network(torch.eye(6), EDGES)


def _project(params: Any, **settings: Any) -> Any:
    # In place is what the underscore says: the spoilt values are not altered.
    copied = params.clone() if isinstance(params, torch.Tensor) else params
    return graph.project_l0_(copied, **settings)


def calls() -> Iterator[Call]:
    """Return the calls."""
    yield _ticket(graph.DropEdgeTicket, "graph.DropEdgeTicket")
    yield _ticket(graph.MagnitudeTicket, "graph.MagnitudeTicket", score="random")
    yield _ticket(
        graph.TeddyTicket, "graph.TeddyTicket", score="teddy", distillation=1.0, guard=None, scope="global"
    )
    ugs = {"edge_rate": 0.3, "edge_penalty": 0.01, "weight_penalty": 0.01, "variant": "intended"}
    yield _ticket(graph.UGSTicket, "graph.UGSTicket", **ugs)
    scored = calling("graph.SparsifyEdges", graph.SparsifyEdges, ratio=0.34)
    shape = {"edge_index": EDGES, "num_nodes": 6}
    yield Call(scored.name, _sparsified, {**scored.arguments, **shape}, scored.errors)
    yield Call(scored.name, _of_two_kinds, {**scored.arguments, **shape}, scored.errors)
    yield _link_ticket()
    levels = {"model": None, "levels": (1, 5), "seeds": (0,), "edge_rate": 0.05, "weight_rate": 0.1}
    yield Call("graph.MagnitudeTicket.sweep", _swept, levels, (TypeError, ValueError), slow=True)
    yield Call(
        "graph.DropEdgeTicket.save", _saved, {"path": Path("ticket.pt")}, (TypeError, ValueError, OSError)
    )
    yield calling("graph.edge_scores", graph.edge_scores, edge_index=EDGES, num_nodes=6)
    yield calling(
        "graph.graph_diagnostics", graph.graph_diagnostics, edge_index=EDGES, num_nodes=6, labels=LABELS
    )
    yield calling("graph.sparsify_edges", graph.sparsify_edges, edge_index=EDGES, ratio=0.34, num_nodes=6)
    weights = torch.linspace(0.1, 1.2, 12)
    yield calling("graph.to_csr", graph.to_csr, edge_index=EDGES, num_nodes=6, values=weights)
    yield calling("graph.to_sorted_edge_index", graph.to_sorted_edge_index, edge_index=EDGES, num_nodes=6)
    shrunk = {"params": torch.tensor([0.1, -3.0, 0.5, 2.0]), "sparsity": 0.5, "scope": "global"}
    yield Call("graph.project_l0_", _project, shrunk, calling("", graph.project_l0_).errors)
    errors = calling("", graph.masked_messages).errors
    yield Call("graph.masked_messages", _messages, {"mask": weights, "edge_index": EDGES}, errors)
    linear = torch.nn.Linear(2, 1)
    masks = {"weight": torch.tensor([[True, False]])}
    yield calling("graph.to_torch_prune", graph.to_torch_prune, model=linear, weight_mask=masks)
    pruned = graph.to_torch_prune(linear, masks)
    yield calling("graph.make_permanent", graph.make_permanent, model=pruned)
    yield calling("graph.cache_normalization", graph.cache_normalization, model=GCN(6, 4, 2, 2))
