"""Updates of the rows of a batch as one GPU kernel in Triton: gradient descent, Adagrad, LazyAdam.

Every function takes gradients of occurrences, sums those of the same row and changes that row of the table
and of its slots in place. Time and memory depend on the occurrences alone, never on the rows of the table,
and equal input gives equal bits: there are no atomics. Where it runs: see `sparse_data.ops_triton`.
"""

from __future__ import annotations

try:
    import torch
    import triton
    import triton.language as tl
except ImportError as error:
    raise ImportError(
        "sparse_data.ops_triton_rows needs torch and triton (Linux); pip install 'sparselabels[triton]'"
    ) from error

from sparse_data.checks import check_count, check_in_range
from sparse_data.ops_triton_launch import FLOATS, INTEGERS, check_range, check_table, check_tensor, launch

Tensor = torch.Tensor

# Loops are written with `while`: Triton 3.6 interprets no `range` over tensors with NumPy 2.4.


@triton.jit
def _sum_of_row(  # type: ignore[no-untyped-def]
    rows, order, gradients, position, num, dim, BLOCK_J: tl.constexpr, BLOCK_D: tl.constexpr
):  # fmt: skip
    """Return the sum of the gradients of the row at this place of the sorted `rows`, BLOCK_J at a time."""
    row = tl.load(rows + position)
    columns = tl.arange(0, BLOCK_D)
    total = tl.zeros([BLOCK_D], tl.float32)
    more = row >= 0
    while more:
        positions = position + tl.arange(0, BLOCK_J)
        same = tl.load(rows + positions, mask=positions < num, other=-1) == row
        places = tl.load(order + positions, mask=same, other=0)
        mask = same[:, None] & (columns < dim)[None, :]
        part = tl.load(gradients + places[:, None] * dim + columns[None, :], mask=mask, other=0)
        total += tl.sum(part.to(tl.float32), axis=0)
        position += BLOCK_J
        more = tl.sum(same.to(tl.int32), axis=0) == BLOCK_J
    return total


@triton.jit
def _update_kernel(  # type: ignore[no-untyped-def]
    table, slot, second_slot, rows, order, gradients, num, dim, table_stride, slot_stride, second_stride,
    learning_rate, epsilon, rate_1, rate_2, RULE: tl.constexpr, BLOCK_J: tl.constexpr,
    BLOCK_D: tl.constexpr
):  # fmt: skip
    """One program a sorted occurrence; the first one of a row walks over all of that row and updates it.

    A touched row is read and written once, by one program: nothing is locked, no sum changes its order.
    """
    position = tl.program_id(0).to(tl.int64)
    row = tl.load(rows + position).to(tl.int64)
    before = tl.load(rows + position - 1, mask=position > 0, other=-1).to(tl.int64)
    if before != row:
        columns = tl.arange(0, BLOCK_D)
        inside = columns < dim
        g = _sum_of_row(rows, order, gradients, position, num, dim, BLOCK_J, BLOCK_D)
        change = learning_rate * g
        if RULE == "rowwise_adagrad":
            total = tl.load(slot + row * slot_stride) + tl.sum(g * g, axis=0) / dim
            tl.store(slot + row * slot_stride, total)
            change = change / (tl.sqrt(total) + epsilon)
        if RULE == "adagrad":
            place = slot + row * slot_stride + columns
            totals = tl.load(place, mask=inside, other=0) + g * g
            tl.store(place, totals, mask=inside)
            change = change / tl.sqrt(totals + epsilon)
        if RULE == "lazy_adam":
            place = slot + row * slot_stride + columns
            second_place = second_slot + row * second_stride + columns
            m = tl.load(place, mask=inside, other=0)
            v = tl.load(second_place, mask=inside, other=0)
            m += (g - m) * rate_1
            v += (g * g - v) * rate_2
            tl.store(place, m, mask=inside)
            tl.store(second_place, v, mask=inside)
            change = learning_rate * m / (tl.sqrt(v) + epsilon)
        place = table + row * table_stride + columns
        weight = tl.load(place, mask=inside, other=0).to(tl.float32)
        tl.store(place, (weight - change).to(table.dtype.element_ty), mask=inside)


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
    learning_rate : float
        At least 0.
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
    learning_rate: float,
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
    learning_rate: float,
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
    step: int,
    learning_rate: float,
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
    step : int
        t, the number of this step among all steps; the first one is 1.
    beta_1, beta_2 : float, default=0.9 and 0.999
        In [0, 1).
    epsilon : float, default=1e-7
        At least 0.
    """
    check_count("step", step)
    check_in_range("learning_rate", learning_rate, 0)
    check_in_range("beta_1", beta_1, 0, 1, closed="left")
    check_in_range("beta_2", beta_2, 0, 1, closed="left")
    rate = learning_rate * (1 - beta_2**step) ** 0.5 / (1 - beta_1**step)
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
    learning_rate: float,
    epsilon: float = 0.0,
    rates: tuple[float, float] = (0.0, 0.0),
    *,
    check: bool,
) -> Tensor:
    check_in_range("learning_rate", learning_rate, 0)
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
    rows, order = rows.sort(stable=True)
    tensors = [table, *slots.values(), table, table][:3]  # a rule without a slot is given one to ignore
    pointers = (*tensors, rows, order, gradients.contiguous(), num, dim)
    numbers = (*(tensor.stride(0) for tensor in tensors), float(learning_rate), float(epsilon), *rates)
    launch(_update_kernel, num, (*pointers, *numbers), {"RULE": rule}, dim)
    # The kernel writes past autograd: let it see that tensors it may have saved are not what they were.
    for tensor in (table, *slots.values()):
        torch.autograd.graph.increment_version(tensor)
    return table


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
