"""What a ticket costs: multiplications, seconds of a prediction, bytes that a training step keeps."""

from __future__ import annotations

import time
from typing import Any

import torch
import torch_geometric.nn
from torch import Tensor
from torch.nn import Module
from torch_geometric.nn import MessagePassing

from graph.diagnostics import graph_diagnostics
from graph.ticket import Ticket
from graph.ticket_tasks import Task
from graph.ticket_training import predict


def measure_ticket(ticket: Ticket, task: Task, dense: Tensor) -> dict[str, Any]:
    """Return what was kept, the scores, the costs and the diagnostics of a ticket: the columns of a sweep.

    `dense` are the logits of the dense network on the whole test graph.
    """
    model, graph = ticket.network.model, ticket.graphs.test
    logits = predict(model, task, graph)
    facts = graph_diagnostics(graph.edge_index, num_nodes=graph.num_nodes, labels=graph.get("y"))
    weights = list(model.parameters())
    return {
        "score": ticket.score,
        "val_score": ticket.network.val_score,
        "val_loss": float(task.loss(predict(model, task, ticket.graphs.val), ticket.graphs.val, "val")),
        "test_score": task.score(logits, graph, "test"),
        "agreement": task.agreement(dense, logits),
        "divergence": float(task.divergence(dense, logits)),
        "epoch": ticket.network.epoch,
        "kept_edges": int(ticket.edge_mask.sum()),
        "kept_edge_share": float(ticket.edge_mask.double().mean()),
        "kept_weights": sum(int(weight.count_nonzero()) for weight in weights),
        "kept_weight_share": sum(int(weight.count_nonzero()) for weight in weights)
        / sum(weight.numel() for weight in weights),
        "macs": count_macs(model, task, graph),
        "search_seconds": ticket.seconds,
        "inference_seconds": inference_seconds(model, task, graph),
        "step_bytes": step_bytes(model, task, ticket.graphs.train),
        "n_isolated": facts.n_isolated,
        "n_components": facts.n_components,
        "largest_component": facts.largest_component,
        "homophily": facts.homophily,
    }


def count_macs(model: Module, task: Task, graph: Any) -> int:
    r"""Return the multiply-accumulates of one prediction that are left if zero weights cost nothing.

    .. math:: \sum_\text{linear layers} n_\text{rows} \|W\|_0 + \sum_\text{message layers} |E| \, d

    Attention coefficients, biases and normalisation are left out.  It is a count and no promise of speed: no
    common kernel profits from single zero weights.
    """
    total = 0

    def linear(module: Any, _: Any, outputs: Tensor) -> None:
        nonlocal total
        total += outputs.numel() // outputs.shape[-1] * int(torch.count_nonzero(module.weight))

    def message(_: Module, __: Any, messages: Tensor) -> None:
        nonlocal total
        total += messages.numel()

    handles = []
    for module in model.modules():
        if isinstance(module, torch.nn.Linear | torch_geometric.nn.Linear):
            handles.append(module.register_forward_hook(linear))
        elif isinstance(module, MessagePassing):
            handles.append(module.register_message_forward_hook(message))
    try:
        predict(model, task, graph)
    finally:
        for handle in handles:
            handle.remove()
    return total


def inference_seconds(model: Module, task: Task, graph: Any, *, repeats: int = 2) -> float:
    """Return the shortest of a few predictions, the first left out."""
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        logits = predict(model, task, graph)
        if logits.is_cuda:
            torch.cuda.synchronize(logits.device)
        times.append(time.perf_counter() - began)
    return min(times[1:])


def step_bytes(model: Module, task: Task, graph: Any) -> int:
    """Return the bytes of all tensors that a training step keeps for its backward pass, each counted once."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), torch.enable_grad():
        # The loss must live until the end: a freed storage would lend its address to another.
        loss = task.loss(task.outputs(model, graph), graph)
        total = sum(kept.values())
    del loss
    return total
