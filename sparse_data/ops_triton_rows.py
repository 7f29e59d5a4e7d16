"""Updates of the rows of a batch as GPU kernels in Triton: gradient descent, Adagrad, LazyAdam.

Every function takes gradients of occurrences, sums those of the same row and changes that row of the table
and of its slots in place. Time and memory depend on the occurrences alone, never on the rows of the table,
and equal input gives equal bits: there are no atomics. Where it runs: see `sparse_data.ops_triton`.
"""

from __future__ import annotations

from typing import Any

try:
    import torch
    import triton
    import triton.language as tl
except ImportError as error:
    raise ImportError(
        "sparse_data.ops_triton_rows needs torch and triton (Linux); pip install 'sparselabels[triton]'"
    ) from error

from sparse_data.checks import check_count, check_in_range
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
Rate = float | Tensor

# Numbers that a program holds at a time, and how many occurrences they may be of.
TILE, LEAST_TILE, MOST_TILE = 2048, 4, 64
TILE_OF_SUMS = 4096  # and while it adds up the sums of others

# Loops are written with `while`: Triton 3.6 interprets no `range` over tensors with NumPy 2.4.


@triton.jit
def _sum_within_row(begins, total, begins_later, later):  # type: ignore[no-untyped-def]
    """Add up what stands before and after a place, unless a row begins between."""
    return begins | begins_later, tl.where(begins_later != 0, later, total + later)


@triton.jit
def _change_rows(  # type: ignore[no-untyped-def]
    table, slot, second_slot, row, g, due, table_stride, slot_stride, second_stride, given_rate, epsilon,
    rate_1, rate_2, dim: tl.constexpr, RULE: tl.constexpr, RATE_LIES_THERE: tl.constexpr,
    BLOCK_D: tl.constexpr
):  # fmt: skip
    """Change some rows, shape (n,), by their gradients, shape (n, BLOCK_D), where `due`."""
    learning_rate = given_rate
    if RATE_LIES_THERE:
        learning_rate = tl.load(given_rate)
    columns = tl.arange(0, BLOCK_D)
    mask = due[:, None] & (columns < dim)[None, :]
    change = learning_rate * g
    if RULE == "rowwise_adagrad":
        place = slot + row * slot_stride
        total = tl.load(place, mask=due, other=1) + tl.sum(g * g, axis=1) / dim
        tl.store(place, total, mask=due)
        change = change / (tl.sqrt(total) + epsilon)[:, None]
    if RULE == "adagrad":
        place = slot + row[:, None] * slot_stride + columns[None, :]
        total = tl.load(place, mask=mask, other=1) + g * g
        tl.store(place, total, mask=mask)
        change = change / tl.sqrt(total + epsilon)
    if RULE == "lazy_adam":
        place = slot + row[:, None] * slot_stride + columns[None, :]
        second_place = second_slot + row[:, None] * second_stride + columns[None, :]
        m = tl.load(place, mask=mask, other=0)
        v = tl.load(second_place, mask=mask, other=1)
        m += (g - m) * rate_1
        v += (g * g - v) * rate_2
        tl.store(place, m, mask=mask)
        tl.store(second_place, v, mask=mask)
        change = learning_rate * m / (tl.sqrt(v) + epsilon)
    place = table + row[:, None] * table_stride + columns[None, :]
    weight = tl.load(place, mask=mask, other=0).to(tl.float32)
    tl.store(place, (weight - change).to(table.dtype.element_ty), mask=mask)


@triton.jit
def _update_kernel(  # type: ignore[no-untyped-def]
    table, slot, second_slot, rows, order, gradients, parts, num, table_stride, slot_stride, second_stride,
    learning_rate, epsilon, rate_1, rate_2, dim: tl.constexpr, RULE: tl.constexpr,
    RATE_LIES_THERE: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_D: tl.constexpr
):  # fmt: skip
    """BLOCK_P sorted occurrences a program: sum those of a row, change the rows that lie here altogether.

    What is here of a row that began before goes to `parts[program, 0]`, the beginning of one that goes on to
    `parts[program, 1]`. A touched row is read and written once: nothing is locked, no sum changes its order.
    """
    program = tl.program_id(0).to(tl.int64)
    first = program * BLOCK_P
    positions = first + tl.arange(0, BLOCK_P)
    there = positions < num
    row = tl.load(rows + positions, mask=there, other=-1).to(tl.int64)
    before = tl.load(rows + positions - 1, mask=there & (positions > 0), other=-1).to(tl.int64)
    after = tl.load(rows + positions + 1, mask=positions + 1 < num, other=-1).to(tl.int64)
    row_before = tl.load(rows + first - 1, mask=first > 0, other=-1).to(tl.int64)
    row_after = tl.load(rows + first + BLOCK_P, mask=first + BLOCK_P < num, other=-1).to(tl.int64)
    columns = tl.arange(0, BLOCK_D)
    places = tl.load(order + positions, mask=there, other=0)
    mask = there[:, None] & (columns < dim)[None, :]
    g = tl.load(gradients + places[:, None] * dim + columns[None, :], mask=mask, other=0).to(tl.float32)
    begins = tl.broadcast_to((row != before).to(tl.int32)[:, None], [BLOCK_P, BLOCK_D])
    _, g = tl.associative_scan((begins, g), 0, _sum_within_row)
    last = there & ((row != after) | (positions == first + BLOCK_P - 1))
    began = last & (row == row_before)
    goes_on = last & (row == row_after)
    place = parts + (2 * program + goes_on.to(tl.int64) * (1 - began.to(tl.int64)))[:, None] * dim
    tl.store(place + columns[None, :], g, mask=(began | goes_on)[:, None] & (columns < dim)[None, :])
    due = last & (row != row_before) & (row != row_after)
    _change_rows(
        table, slot, second_slot, row, g, due, table_stride, slot_stride, second_stride, learning_rate,
        epsilon, rate_1, rate_2, dim, RULE, RATE_LIES_THERE, BLOCK_D
    )  # fmt: skip


@triton.jit
def _update_long_kernel(  # type: ignore[no-untyped-def]
    table, slot, second_slot, rows, parts, num, table_stride, slot_stride, second_stride, learning_rate,
    epsilon, rate_1, rate_2, dim: tl.constexpr, RULE: tl.constexpr, RATE_LIES_THERE: tl.constexpr,
    BLOCK_P: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_J: tl.constexpr
):  # fmt: skip
    """One program for each but the last of `_update_kernel`: change the row that goes on after it, if any."""
    program = tl.program_id(0).to(tl.int64)
    first = program * BLOCK_P
    row = tl.load(rows + first + BLOCK_P - 1).to(tl.int64)
    row_before = tl.load(rows + first - 1, mask=first > 0, other=-1).to(tl.int64)
    row_after = tl.load(rows + first + BLOCK_P).to(tl.int64)
    if (row == row_after) & (row != row_before):
        columns = tl.arange(0, BLOCK_D)
        inside = columns < dim
        g = tl.load(parts + (2 * program + 1) * dim + columns, mask=inside, other=0)
        program += 1
        more = row >= 0
        while more:
            others = program + tl.arange(0, BLOCK_J)
            same = tl.load(rows + others * BLOCK_P, mask=others * BLOCK_P < num, other=-1) == row
            place = parts + 2 * others[:, None] * dim + columns[None, :]
            g += tl.sum(tl.load(place, mask=same[:, None] & inside[None, :], other=0), axis=0)
            program += BLOCK_J
            more = tl.sum(same.to(tl.int32), axis=0) == BLOCK_J
        here = tl.full([1], 0, tl.int64)
        _change_rows(
            table, slot, second_slot, here + row, g[None, :], here == 0, table_stride, slot_stride,
            second_stride, learning_rate, epsilon, rate_1, rate_2, dim, RULE, RATE_LIES_THERE, BLOCK_D
        )  # fmt: skip


def sgd_rows_(
    table: Tensor, rows: Tensor, gradients: Tensor, *, learning_rate: float, check: bool = True
) -> Tensor:
    """Take a step of gradient descent on the rows of a batch, in place.

    w_r -= learning_rate g_r,  g_r = Σ_{j: rows[j] = r} gradients[j]

    Parameters
    ----------
    table : Tensor of shape (num_rows, dim)
        w; float32, float16 or bfloat16.
    rows : Tensor of int32 or int64 of shape (n,)
        The row of each occurrence, in [0, num_rows), in any order and repeated as often as it occurred.
    gradients : Tensor of shape (n, dim)
        The gradient of each occurrence.
    learning_rate : float or Tensor of float32 of shape ()
        At least 0; a number on the device can change between replays of a CUDA graph.
    check : bool, default=True
        Whether to look at the numbers in `rows` and `gradients`, which waits for the device. Without it, a
        row out of range changes foreign memory, and a gradient that is not finite reaches the table.

    Returns
    -------
    Tensor
        `table`. Rows that the batch does not name are neither read nor written.

    Raises
    ------
    TypeError, ValueError
        If a dtype, device, shape or number is not as above or a gradient is not finite: nothing is changed.
    """
    return _update(table, {}, rows, gradients, "sgd", learning_rate, check=check)


def rowwise_adagrad_rows_(
    table: Tensor,
    accumulator: Tensor,
    rows: Tensor,
    gradients: Tensor,
    *,
    learning_rate: Rate,
    epsilon: float = 1e-7,
    check: bool = True,
) -> Tensor:
    """Take a step of Adagrad with one accumulator a row, in place; other arguments as `sgd_rows_`.

    a_r += mean_c g_rc²;  w_r -= learning_rate g_r / (sqrt(a_r) + epsilon), g_r over all occurrences of r.

    Parameters
    ----------
    accumulator : Tensor of float32 of shape (num_rows,)
        a.
    epsilon : float, default=1e-7
        At least 0.
    """
    slots = {"accumulator": accumulator}
    return _update(table, slots, rows, gradients, "rowwise_adagrad", learning_rate, epsilon, check=check)


def adagrad_rows_(
    table: Tensor,
    accumulator: Tensor,
    rows: Tensor,
    gradients: Tensor,
    *,
    learning_rate: Rate,
    epsilon: float = 1e-7,
    check: bool = True,
) -> Tensor:
    """Take a step of Adagrad on the rows of a batch, in place; other arguments as `sgd_rows_`.

    a_r += g_r²;  w_r -= learning_rate g_r / sqrt(a_r + epsilon), by element, as in Keras.

    Parameters
    ----------
    accumulator : Tensor of float32 of shape (num_rows, dim)
        a.
    epsilon : float, default=1e-7
        At least 0.
    """
    slots = {"accumulator": accumulator}
    return _update(table, slots, rows, gradients, "adagrad", learning_rate, epsilon, check=check)


def lazy_adam_rows_(
    table: Tensor,
    first_moments: Tensor,
    second_moments: Tensor,
    rows: Tensor,
    gradients: Tensor,
    *,
    step: int | Tensor,
    learning_rate: Rate,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    check: bool = True,
) -> Tensor:
    """Take a step of Adam on the rows of a batch alone, in place; other arguments as `sgd_rows_`.

    m_r = β₁ m_r + (1 - β₁) g_r;  v_r = β₂ v_r + (1 - β₂) g_r²
    w_r -= learning_rate sqrt(1 - β₂^t) / (1 - β₁^t) · m_r / (sqrt(v_r) + epsilon)

    Adam proper lets the moments of all rows decay and moves all rows in every step; here the others rest.

    Parameters
    ----------
    first_moments, second_moments : Tensor of float32 of shape (num_rows, dim)
        m and v.
    step : int or Tensor of int64 of shape ()
        t, the number of this step among all steps; the first one is 1. On the device it is not looked at, and
        a whole step of lookup, loss, gradient and update can be captured in a CUDA graph.
    beta_1, beta_2 : float, default=0.9 and 0.999
        In [0, 1).
    epsilon : float, default=1e-7
        At least 0.
    """
    _check_rate(learning_rate, table)
    check_in_range("beta_1", beta_1, 0, 1, closed="left")
    check_in_range("beta_2", beta_2, 0, 1, closed="left")
    if isinstance(step, Tensor):
        check_tensor("step", step, (torch.int64,), 0, table)
        step = step.double()
    else:
        check_count("step", step)
    rate = learning_rate * (1 - beta_2**step) ** 0.5 / (1 - beta_1**step)
    rate = rate.float() if isinstance(rate, Tensor) else rate
    slots = {"first_moments": first_moments, "second_moments": second_moments}
    # 1 - β is taken here in double precision: in float32 it would have lost four digits.
    rates = (1 - beta_1, 1 - beta_2)
    return _update(table, slots, rows, gradients, "lazy_adam", rate, epsilon, rates, check=check)


def _update(
    table: Tensor,
    slots: dict[str, Tensor],
    rows: Tensor,
    gradients: Tensor,
    rule: str,
    learning_rate: Rate,
    epsilon: float = 0.0,
    rates: tuple[float, float] = (0.0, 0.0),
    *,
    check: bool,
) -> Tensor:
    _check_rate(learning_rate, table)
    check_in_range("epsilon", epsilon, 0)
    check_table("table", table, FLOATS, written=True)
    for name, slot in slots.items():
        _check_slot(name, slot, table, 1 if rule == "rowwise_adagrad" else 2)
    check_tensor("rows", rows, INTEGERS, 1, table)
    check_tensor("gradients", gradients, FLOATS, 2, table)
    num, dim = len(rows), table.shape[1]
    if gradients.shape != (num, dim):
        raise ValueError(
            f"`gradients` must be of shape {(num, dim)}; got shape {tuple(gradients.shape)}. "
            "Pass one gradient of a row's length for each of `rows`."
        )
    if not num or not dim:
        return table
    if check:
        check_range("rows", rows, len(table))
        _check_finite("gradients", gradients)
    tensors = [table, *slots.values(), table, table][:3]  # a rule without a slot is given one to ignore
    strides = (tensor.stride(0) for tensor in tensors)
    numbers = (num, *strides, learning_rate, float(epsilon), *rates)
    _launch(rule, tensors, rows, gradients, numbers)
    # The kernel writes past autograd: let it see that tensors it may have saved are not what they were.
    for tensor in (table, *slots.values()):
        torch.autograd.graph.increment_version(tensor)
    return table


def _launch(
    rule: str, tensors: list[Tensor], rows: Tensor, gradients: Tensor, numbers: tuple[Any, ...]
) -> None:
    """Sort the occurrences by row and start the kernels over them."""
    num, dim = gradients.shape
    block_d = power_of_2(dim)
    block_p = min(max(TILE // block_d, LEAST_TILE), MOST_TILE)
    num_programs = -(-num // block_p)
    # Sorting takes a pass for every byte of a number.
    small = len(tensors[0]) <= torch.iinfo(torch.int32).max
    rows, order = (rows.int() if small else rows).sort(stable=True)
    parts = torch.empty(num_programs, 2, dim, dtype=torch.float32, device=rows.device)
    settings = {"dim": dim, "RULE": rule, "RATE_LIES_THERE": isinstance(numbers[4], Tensor)}
    settings |= {"BLOCK_P": block_p, "BLOCK_D": block_d}
    arguments = (*tensors, rows, order, gradients.contiguous(), parts, *numbers)
    launch(_update_kernel, num_programs, arguments, settings, block_p * block_d)
    if num_programs > 1:
        settings["BLOCK_J"] = block_j = min(max(TILE_OF_SUMS // block_d, LEAST_TILE), 4 * MOST_TILE)
        arguments = (*tensors, rows, parts, *numbers)
        launch(_update_long_kernel, num_programs - 1, arguments, settings, block_j * block_d)


def _check_rate(learning_rate: Rate, table: Tensor) -> None:
    if isinstance(learning_rate, Tensor):
        check_tensor("learning_rate", learning_rate, (torch.float32,), 0, table)
    else:
        check_in_range("learning_rate", learning_rate, 0)


def _check_slot(name: str, slot: Tensor, table: Tensor, ndim: int) -> None:
    check_tensor(name, slot, (torch.float32,), ndim, table)
    if slot.shape != table.shape[:ndim]:
        raise ValueError(
            f"`{name}` must be of shape {tuple(table.shape[:ndim])}; got shape {tuple(slot.shape)}. "
            "Make it for this table."
        )
    check_table(name, slot if ndim == 2 else slot[:, None], (torch.float32,), written=True)


def _check_finite(name: str, array: Tensor) -> None:
    """Raise if a number is NaN or infinite: one reduction, since NaN wins over every minimum and maximum."""
    extremes = torch.stack(array.detach().aminmax())
    if not bool(extremes.isfinite().all()):
        raise ValueError(
            f"`{name}` must be finite; got NaN or infinite values. Nothing is changed: lower the learning "
            "rate or look for the step that made them."
        )
