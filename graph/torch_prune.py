"""Masks of weights in the form of `torch.nn.utils.prune`, and back."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.utils import prune

from sparse_data.tensor_checks import check_module, check_tensor


def to_torch_prune(model: Module, weight_mask: Mapping[str, Tensor]) -> Module:
    """Return a copy of a network with its masks held by `torch.nn.utils.prune`.

    Every masked parameter ``name`` becomes ``name_orig`` and a buffer ``name_mask``.  Torch cannot deep-copy
    such a network; `make_permanent` returns one that can be.

    Parameters
    ----------
    model : Module
    weight_mask : mapping of str to bool tensor
        By the name of the parameter, such as the ``weight_mask_`` of a ticket.

    Raises
    ------
    ValueError
        If a name or a shape is not one of the network's.

    Examples
    --------
    >>> linear = torch.nn.Linear(2, 1)
    >>> pruned = to_torch_prune(linear, {"weight": torch.tensor([[True, False]])})
    >>> sorted(name for name, _ in pruned.named_parameters())
    ['bias', 'weight_orig']
    """
    shapes = {name: weight.shape for name, weight in check_module("model", model).named_parameters()}
    if not isinstance(weight_mask, Mapping):
        raise TypeError(
            f"`weight_mask` must be a mapping of names to tensors; got {type(weight_mask).__name__}. "
            "Pass the `weight_mask_` of a ticket."
        )
    weight_mask = {name: check_tensor("weight_mask", mask) for name, mask in weight_mask.items()}
    for name, mask in weight_mask.items():
        if shapes.get(name) != mask.shape:
            raise ValueError(
                f"`weight_mask` must have the names and shapes of the parameters; got {name!r} of "
                f"{tuple(mask.shape)}. Take the mask of this network."
            )
    pruned = copy.deepcopy(model)
    for name, mask in weight_mask.items():
        owner, _, own = name.rpartition(".")
        prune.custom_from_mask(pruned.get_submodule(owner), own, mask)
    return pruned


@torch.no_grad()
def make_permanent(model: Module) -> tuple[Module, dict[str, Tensor]]:
    """Return a plain copy of a network that `torch.nn.utils.prune` has pruned, and its masks.

    Parameters
    ----------
    model : Module
        Left as it is.

    Returns
    -------
    plain : Module
        Parameters multiplied by their masks.
    weight_mask : dict of str to bool tensor

    Examples
    --------
    >>> mask = {"weight": torch.tensor([[True, False]])}
    >>> plain, masks = make_permanent(to_torch_prune(torch.nn.Linear(2, 1), mask))
    >>> plain.weight[0, 1].item() == 0, masks["weight"].tolist()
    (True, [[True, False]])
    """
    # The product that the hooks hold is no leaf, which torch refuses to copy: let it be copied as a value.
    products = {}
    for module in check_module("model", model).modules():
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, prune.BasePruningMethod):
                product = getattr(module, hook._tensor_name)
                products[id(product)] = product.detach().clone()
    plain = copy.deepcopy(model, products)
    masks = {}
    for path, module in plain.named_modules():
        hooks = [h for h in module._forward_pre_hooks.values() if isinstance(h, prune.BasePruningMethod)]
        for hook in hooks:
            name = hook._tensor_name
            masks[f"{path}.{name}".lstrip(".")] = getattr(module, f"{name}_mask").bool()
            prune.remove(module, name)
    return plain, masks
