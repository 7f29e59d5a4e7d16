"""The pooled lookup as GPU kernels in Triton.

`pooled_lookup` has the name, arguments and results of `sparse_data.ops_numpy.pooled_lookup`; its gradient
with respect to the table is sparse. Time and memory depend on the lookups alone, never on the rows of the
table, and equal input gives equal bits: there are no atomics.

Tensors are on a CUDA device. Where TRITON_INTERPRET=1 is set before triton is first imported (torch may
import it), they are on any device and the kernels run in Triton's interpreter: slow, for tests.
"""

from __future__ import annotations

from typing import Any

try:
    import torch
    import triton
    import triton.language as tl
except ImportError as error:
    raise ImportError(
        "sparse_data.ops_triton needs torch and triton (Linux); pip install 'sparselabels[triton]'"
    ) from error

from sparse_data.checks import check_one_of, check_same_length
from sparse_data.ops_inputs import Combiner, read_indptr
from sparse_data.ops_triton_launch import (
    FLOATS,
    INTEGERS,
    check_range,
    check_table,
    check_tensor,
    launch,
    power_of_2,
)

Tensor = torch.Tensor

# Numbers that a program holds at a time, enough loads on their way to hide the latency of memory, and of how
# many bags and rows of each they are at most.
TILE, MOST_BAGS, MOST_ROWS = 1024, 64, 8

# Loops are written with `while`: Triton 3.6 interprets no `range` over tensors with NumPy 2.4.


@triton.jit
def _pool_kernel(  # type: ignore[no-untyped-def]
    table, values, offsets, weights, out, divisors, num_bags, table_stride, dim: tl.constexpr,
    WEIGHTED: tl.constexpr, COMBINER: tl.constexpr, BLOCK_B: tl.constexpr, BLOCK_J: tl.constexpr,
    BLOCK_D: tl.constexpr
):  # fmt: skip
    """BLOCK_B bags a program: read BLOCK_J rows of each at a time, sum in float32, divide, write once."""
    bags = tl.program_id(0).to(tl.int64) * BLOCK_B + tl.arange(0, BLOCK_B)
    real = bags < num_bags
    start = tl.load(offsets + bags, mask=real, other=0).to(tl.int64)
    end = tl.load(offsets + bags + 1, mask=real, other=0).to(tl.int64)
    columns = tl.arange(0, BLOCK_D)
    inside = columns < dim
    sums = tl.zeros([BLOCK_B, BLOCK_D], tl.float32)
    weight_sums = tl.zeros([BLOCK_B, BLOCK_J], tl.float32)
    left = tl.max(end - start, axis=0)
    while left > 0:
        positions = start[:, None] + tl.arange(0, BLOCK_J)[None, :]
        there = positions < end[:, None]
        ids = tl.load(values + positions, mask=there, other=0).to(tl.int64)
        weight = there.to(tl.float32)
        if WEIGHTED:
            weight = tl.load(weights + positions, mask=there, other=0).to(tl.float32)
        mask = there[:, :, None] & inside[None, None, :]
        rows = tl.load(table + ids[:, :, None] * table_stride + columns[None, None, :], mask=mask, other=0)
        sums += tl.sum(rows.to(tl.float32) * weight[:, :, None], axis=1)
        weight_sums += weight * weight if COMBINER == "sqrtn" else weight
        start += BLOCK_J
        left -= BLOCK_J
    if COMBINER != "sum":
        divisor = tl.sum(weight_sums, axis=1)
        if COMBINER == "sqrtn":
            divisor = tl.sqrt(divisor)
        tl.store(divisors + bags, divisor, mask=real)
        zero = (divisor == 0)[:, None]
        sums = tl.where(zero, 0.0, sums / tl.where(zero, 1.0, divisor[:, None]))
    places = out + bags[:, None] * dim + columns[None, :]
    tl.store(places, sums.to(out.dtype.element_ty), mask=real[:, None] & inside[None, :])


@triton.jit
def _pool_gradient_kernel(  # type: ignore[no-untyped-def]
    table, values, offsets, weights, out, divisors, gradients, row_gradients, weight_gradients, num_bags,
    table_stride, dim: tl.constexpr, WEIGHTED: tl.constexpr, COMBINER: tl.constexpr,
    WANTS_ROWS: tl.constexpr, WANTS_WEIGHTS: tl.constexpr, BLOCK_B: tl.constexpr, BLOCK_J: tl.constexpr,
    BLOCK_D: tl.constexpr
):  # fmt: skip
    """BLOCK_B bags a program; g is its gradient, d its divisor, r_j the row and w_j the weight of a value.

    Of the row: w_j g / d.  Of the weight: sum <g, r_j>;  mean (<g, r_j> - <g, out>) / d;
    sqrtn (<g, r_j> - <g, out> w_j / d) / d.  All are 0 where d is 0.
    """
    bags = tl.program_id(0).to(tl.int64) * BLOCK_B + tl.arange(0, BLOCK_B)
    real = bags < num_bags
    start = tl.load(offsets + bags, mask=real, other=0).to(tl.int64)
    end = tl.load(offsets + bags + 1, mask=real, other=0).to(tl.int64)
    columns = tl.arange(0, BLOCK_D)
    inside = columns < dim
    of_bags = bags[:, None] * dim + columns[None, :]
    in_bags = real[:, None] & inside[None, :]
    gradient = tl.load(gradients + of_bags, mask=in_bags, other=0).to(tl.float32)
    factor = real.to(tl.float32)
    shared = tl.zeros([BLOCK_B], tl.float32)
    if COMBINER != "sum":
        divisor = tl.load(divisors + bags, mask=real, other=0)
        factor = tl.where(divisor == 0, 0.0, 1.0 / tl.where(divisor == 0, 1.0, divisor))
        if WANTS_WEIGHTS:
            pooled = tl.load(out + of_bags, mask=in_bags, other=0).to(tl.float32)
            shared = tl.sum(gradient * pooled, axis=1)
    left = tl.max(end - start, axis=0)
    while left > 0:
        positions = start[:, None] + tl.arange(0, BLOCK_J)[None, :]
        there = positions < end[:, None]
        mask = there[:, :, None] & inside[None, None, :]
        weight = there.to(tl.float32)
        if WEIGHTED:
            weight = tl.load(weights + positions, mask=there, other=0).to(tl.float32)
        if WANTS_ROWS:
            places = row_gradients + positions[:, :, None] * dim + columns[None, None, :]
            product = (weight * factor[:, None])[:, :, None] * gradient[:, None, :]
            tl.store(places, product.to(row_gradients.dtype.element_ty), mask=mask)
        if WANTS_WEIGHTS:
            ids = tl.load(values + positions, mask=there, other=0).to(tl.int64)
            of_rows = table + ids[:, :, None] * table_stride + columns[None, None, :]
            rows = tl.load(of_rows, mask=mask, other=0).to(tl.float32)
            change = tl.sum(rows * gradient[:, None, :], axis=2)
            if COMBINER == "mean":
                change = (change - shared[:, None]) * factor[:, None]
            if COMBINER == "sqrtn":
                change = (change - shared[:, None] * weight * factor[:, None]) * factor[:, None]
            tl.store(weight_gradients + positions, change.to(weight_gradients.dtype.element_ty), mask=there)
        start += BLOCK_J
        left -= BLOCK_J


def pooled_lookup(
    table: Tensor,
    values: Tensor,
    offsets: Tensor,
    weights: Tensor | None = None,
    combiner: Combiner = "sum",
    *,
    check: bool = True,
) -> Tensor:
    """Return one combined table row a bag; see `sparse_data.ops_numpy.pooled_lookup`.

    sum: Σ_j w_j table[values[j]];  mean: that over Σ_j w_j;  sqrtn: that over sqrt(Σ_j w_j²), j in the bag.
    Sums are taken in float32.

    Parameters
    ----------
    table : Tensor of shape (num_rows, dim)
        float32, float16 or bfloat16; its rows may lie apart, the numbers of a row may not. Its gradient is a
        sparse tensor of n_values rows, not coalesced, as that of ``torch.nn.Embedding(sparse=True)``.
    values : Tensor of int32 or int64 of shape (n_values,)
        Row numbers in [0, num_rows).
    offsets : Tensor of int32 or int64 of shape (n_bags + 1,)
        Bag i is ``values[offsets[i]:offsets[i + 1]]``.
    weights : Tensor of shape (n_values,), optional
        w_j; 1 when None. Its gradient is dense, 0 in a bag whose divisor is 0.
    combiner : {"sum", "mean", "sqrtn"}, default="sum"
    check : bool, default=True
        Whether to look at the numbers in `values` and `offsets`, which waits for the device. Without it,
        numbers that break the rules read or write foreign memory.

    Returns
    -------
    Tensor of shape (n_bags, dim)
        In the dtype of the table; zeros for an empty bag and wherever the divisor is 0.

    Raises
    ------
    TypeError
        If a dtype is not one of those above.
    ValueError
        If a tensor is on another device, the shapes do not agree, or a number in it is out of range.

    Examples
    --------
    On a machine with a GPU::

        table = torch.tensor([[1.0, 0.0], [0.0, 2.0]], device="cuda")
        values, offsets = torch.tensor([0, 1, 1]).cuda(), torch.tensor([0, 2, 2, 3]).cuda()
        pooled_lookup(table, values, offsets, combiner="mean")  # [[0.5, 1.0], [0.0, 0.0], [0.0, 2.0]]
    """
    check_one_of("combiner", combiner, ("sum", "mean", "sqrtn"))
    check_table("table", table, FLOATS)
    check_tensor("values", values, INTEGERS, 1, table)
    check_tensor("offsets", offsets, INTEGERS, 1, table)
    if weights is not None:
        check_tensor("weights", weights, (*FLOATS, torch.float64, *INTEGERS), 1, table)
        weights = weights if weights.dtype in FLOATS else weights.float()
    check_same_length(values=values, weights=weights)
    if check:
        _check_offsets(offsets, len(values))
        check_range("values", values, len(table))
    pooled: Tensor = _PooledLookup.apply(table, weights, values, offsets, combiner)
    return pooled


class _PooledLookup(torch.autograd.Function):
    """The two kernels of the lookup as one differentiable op."""

    @staticmethod
    def forward(
        ctx: Any, table: Tensor, weights: Tensor | None, values: Tensor, offsets: Tensor, combiner: str
    ) -> Tensor:
        values, offsets = values.contiguous(), offsets.contiguous()
        weights = None if weights is None else weights.contiguous()
        num_bags, dim = len(offsets) - 1, table.shape[1]
        out = table.new_empty(num_bags, dim)
        divisors = torch.empty(num_bags, dtype=torch.float32, device=table.device)
        pointers = (table, values, offsets, values if weights is None else weights, out, divisors)
        settings = {"WEIGHTED": weights is not None, "COMBINER": combiner}
        if out.numel():
            _launch(_pool_kernel, (*pointers, num_bags, table.stride(0)), settings, dim, len(values))
        ctx.save_for_backward(*pointers)
        ctx.settings = settings
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        table, values, offsets, weights, out, divisors = ctx.saved_tensors
        wants_rows, wants_weights = ctx.needs_input_grad[:2]
        dim = table.shape[1]
        row_gradients = table.new_empty((len(values), dim) if wants_rows else 0)
        weight_gradients = torch.empty_like(weights) if wants_weights else row_gradients
        if values.numel() and dim:
            gradients = gradients.contiguous()
            pointers = (
                table,
                values,
                offsets,
                weights,
                out,
                divisors,
                gradients,
                row_gradients,
                weight_gradients,
            )
            settings = {**ctx.settings, "WANTS_ROWS": wants_rows, "WANTS_WEIGHTS": wants_weights}
            arguments = (*pointers, len(offsets) - 1, table.stride(0))
            _launch(_pool_gradient_kernel, arguments, settings, dim, len(values))
        if not wants_rows:
            return None, weight_gradients, None, None, None
        # As embedding(sparse=True) makes its own; the public function warns that it checks nothing.
        make_sparse = torch.ops.aten._sparse_coo_tensor_unsafe
        table_gradient = make_sparse(values.long()[None], row_gradients, table.shape)
        return table_gradient, weight_gradients if wants_weights else None, None, None, None


def _check_offsets(offsets: Tensor, num_values: int) -> None:
    """Raise if bags do not lie one after the other: three numbers come from the device where they do."""
    if len(offsets):
        least = torch.diff(offsets).amin() if len(offsets) > 1 else torch.zeros_like(offsets[0])
        first, last, least = torch.stack([offsets[0], offsets[-1], least]).tolist()
        if first == 0 and last == num_values and least >= 0:
            return
    read_indptr("offsets", offsets.cpu().numpy(), num_values)


def _launch(
    kernel: Any, arguments: tuple[Any, ...], settings: dict[str, Any], dim: int, num_values: int
) -> None:
    """Start a kernel over bags: as many of them a program as fill it at their mean length."""
    num_bags = arguments[-2]
    block_d = power_of_2(dim)
    block_j = min(power_of_2(max(-(-num_values // num_bags), 1)), MOST_ROWS)
    block_b = min(max(TILE // (block_d * block_j), 1), MOST_BAGS)
    blocks = {"dim": dim, "BLOCK_B": block_b, "BLOCK_J": block_j, "BLOCK_D": block_d}
    launch(kernel, -(-num_bags // block_b), arguments, {**settings, **blocks}, block_b * block_j * block_d)
