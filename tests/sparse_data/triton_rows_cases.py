"""Cases of the Triton updates of rows, against a slow loop from the equations and torch's SparseAdam.

No tests by themselves: ``test_ops_triton_rows.py`` runs them in the interpreter and on a GPU if there is one.
"""

from __future__ import annotations

import os
from importlib import import_module

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
VARIANTS = [
    ("float32", "int64", 1),
    ("float32", "int32", 3),
    ("float32", "int64", 32),
    ("float32", "int32", 100),
    ("float32", "int64", 130),
    ("float16", "int32", 130),
    ("bfloat16", "int32", 3),
]
TOLERANCE = {"float32": 1e-5, "float16": 2e-3, "bfloat16": 1.6e-2}
NUM_ROWS = 9
RULES = ("sgd", "rowwise_adagrad", "adagrad", "lazy_adam")
RATE, EPSILON, BETA_1, BETA_2 = 0.1, 1e-3, 0.8, 0.95


@pytest.fixture(scope="module", autouse=True)
def scan_by_slices():
    """Let the interpreter scan whole slices along the axis at a time: it goes number by number."""
    if not INTERPRETED:
        return
    scan_ops = import_module("triton.runtime.interpreter").ScanOps

    def scan(self, arrays):
        assert self.axis == 0
        parts = [np.split(array.handle.data, len(array.handle.data), axis=0) for array in arrays]
        slices = [
            tuple(self.to_tensor(part, array.dtype) for part, array in zip(each, arrays, strict=True))
            for each in zip(*parts, strict=True)
        ]
        for place in range(1, len(slices)):
            slices[place] = self.combine_fn.fn(*slices[place - 1], *slices[place])
        found = [np.concatenate([each.handle.data for each in row]) for row in zip(*slices, strict=True)]
        return [self.to_tensor(array, like.dtype) for array, like in zip(found, arrays, strict=True)]

    scan_ops.generic_scan = scan


@pytest.fixture(scope="module")
def ops(device):
    return import_module("sparse_data.ops_triton_rows")


def numbers(tensor):
    return tensor.detach().double().cpu().numpy()


def make_slots(rule, shape):
    if rule == "sgd":
        return []
    first = np.full(shape[:1] if rule == "rowwise_adagrad" else shape, 0.1)
    return [first, np.full(shape, 0.2)] if rule == "lazy_adam" else [first]


def slow_update(rule, table, slots, rows, gradients, step):
    """Take the step a row at a time, in place, from the equations."""
    for row in set(rows.tolist()):
        g = sum(gradients[j] for j in range(len(rows)) if rows[j] == row)
        if rule == "sgd":
            table[row] -= RATE * g
        elif rule == "rowwise_adagrad":
            slots[0][row] += (g**2).mean()
            table[row] -= RATE * g / (np.sqrt(slots[0][row]) + EPSILON)
        elif rule == "adagrad":
            slots[0][row] += g**2
            table[row] -= RATE * g / np.sqrt(slots[0][row] + EPSILON)
        else:
            m, v = slots
            m[row] = BETA_1 * m[row] + (1 - BETA_1) * g
            v[row] = BETA_2 * v[row] + (1 - BETA_2) * g**2
            size = RATE * np.sqrt(1 - BETA_2**step) / (1 - BETA_1**step)
            table[row] -= size * m[row] / (np.sqrt(v[row]) + EPSILON)


def fast_update(ops, rule, table, slots, rows, gradients, step=1, **changed):
    options = {"learning_rate": RATE}
    if rule != "sgd":
        options["epsilon"] = EPSILON
    if rule == "lazy_adam":
        options |= {"step": step, "beta_1": BETA_1, "beta_2": BETA_2}
    return getattr(ops, f"{rule}_rows_")(table, *slots, rows, gradients, **{**options, **changed})


def check_steps(ops, tensor, rule, table, batches, *, dtype="float32", ids="int64"):
    """Take the same steps with the kernel and the loop, the loop from the kernel's state before each step."""
    fast = tensor(table, dtype)
    fast_slots = [tensor(slot, "float32") for slot in make_slots(rule, table.shape)]
    for step, (rows, gradients) in enumerate(batches, start=1):
        slow, slow_slots = numbers(fast), [numbers(slot) for slot in fast_slots]
        before, given = fast.clone(), tensor(gradients, dtype)
        got = fast_update(ops, rule, fast, fast_slots, tensor(rows, ids), given, step)
        assert got is fast
        slow_update(rule, slow, slow_slots, rows, numbers(given), step)
        np.testing.assert_allclose(numbers(fast), slow, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
        for fast_slot, slow_slot in zip(fast_slots, slow_slots, strict=True):
            np.testing.assert_allclose(numbers(fast_slot), slow_slot, rtol=1e-5, atol=1e-5)
        others = np.setdiff1d(np.arange(len(table)), rows)
        np.testing.assert_array_equal(numbers(fast)[others], numbers(before)[others])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("dtype", "ids", "dim"), VARIANTS)
def test_update(ops, tensor, dtype, ids, dim, rule):
    rng = np.random.default_rng(5)
    table = rng.normal(size=(NUM_ROWS, dim))
    # The first row, the last one, and two that more than one program sorts out, one of them in several walks.
    first = np.concatenate([np.full(210, 4), np.full(70, 5), [0, 8, 2, 0]])
    batches = [(rng.permutation(first), rng.normal(size=(len(first), dim)) / 16)]
    batches += [(rng.integers(NUM_ROWS, size=5), rng.normal(size=(5, dim)))]
    check_steps(ops, tensor, rule, table, batches, dtype=dtype, ids=ids)


@settings(deadline=None, max_examples=6)
@given(data=st.data())
def test_update_random(ops, tensor, data):
    num_rows, dim = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 9))
    rows = np.array(data.draw(st.lists(st.integers(0, num_rows - 1), max_size=8)), dtype=np.int64)
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    table, gradients = rng.normal(size=(num_rows, dim)), rng.normal(size=(len(rows), dim))
    check_steps(ops, tensor, data.draw(st.sampled_from(RULES)), table, [(rows, gradients)] * 2)


def test_lazy_adam_by_torch(ops, tensor):
    """SparseAdam of torch has the same equations; the gradient comes from the lookup, as in training."""
    torch = import_module("torch")
    table = tensor(np.random.default_rng(6).normal(size=(NUM_ROWS, 3)), "float32")
    theirs = torch.nn.Parameter(table.clone())
    optimizer = torch.optim.SparseAdam([theirs], lr=RATE, betas=(BETA_1, BETA_2), eps=EPSILON)
    slots = [torch.zeros_like(table), torch.zeros_like(table)]
    pooled_lookup = import_module("sparse_data.ops_triton").pooled_lookup
    offsets = tensor([0, 3, 3, 8])
    for step in range(1, 3):
        values = tensor(np.random.default_rng(step).integers(NUM_ROWS, size=8))
        optimizer.zero_grad()
        pooled_lookup(theirs, values, offsets, combiner="mean").square().sum().backward()
        ours = table.clone().requires_grad_()
        pooled_lookup(ours, values, offsets, combiner="mean").square().sum().backward()
        fast_update(ops, "lazy_adam", table, slots, ours.grad._indices()[0], ours.grad._values(), step)
        optimizer.step()
        np.testing.assert_allclose(numbers(table), numbers(theirs), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_update_by_numbers_on_the_device(ops, tensor, rule):
    rng = np.random.default_rng(9)
    table, gradients = rng.normal(size=(NUM_ROWS, 3)), rng.normal(size=(5, 3))
    rows, changed = rng.integers(NUM_ROWS, size=5), {"learning_rate": tensor(RATE, "float32")}
    if rule == "lazy_adam":
        changed["step"] = tensor(7)
    slots, fast = make_slots(rule, table.shape), tensor(table, "float32")
    fast_slots = [tensor(slot, "float32") for slot in slots]
    fast_update(ops, rule, fast, fast_slots, tensor(rows), tensor(gradients, "float32"), **changed)
    slow_update(rule, table, slots, rows, gradients, 7)
    np.testing.assert_allclose(numbers(fast), table, rtol=1e-5, atol=1e-6)


def test_whole_steps_as_a_graph_on_gpu(ops, tensor):
    torch, lookup = import_module("torch"), import_module("sparse_data.ops_triton").pooled_lookup
    rng = np.random.default_rng(10)
    table, values, offsets = rng.normal(size=(NUM_ROWS, 3)), rng.integers(NUM_ROWS, size=8), tensor([0, 3, 8])
    graph, given = torch.cuda.CUDAGraph(), tensor(values)

    def take(leaf, slots, step):
        lookup(leaf, given, offsets, check=False).square().sum().backward()
        gradient, leaf.grad = leaf.grad, None
        inputs = (gradient._indices()[0], gradient._values())
        fast_update(ops, "lazy_adam", leaf, slots, *inputs, step, check=False)

    ours, theirs = (tensor(table, "float32").requires_grad_() for _ in range(2))
    slots = [[torch.zeros_like(each.detach()) for _ in range(2)] for each in (ours, theirs)]
    step, side = tensor(0), torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        take(theirs.detach().clone().requires_grad_(), [slot.clone() for slot in slots[0]], tensor(1))
    torch.cuda.current_stream().wait_stream(side)
    with torch.cuda.graph(graph):
        step += 1
        take(ours, slots[0], step)
    for number in (1, 2, 3):
        given.copy_(tensor(rng.integers(NUM_ROWS, size=8)))
        graph.replay()
        take(theirs, slots[1], number)
    np.testing.assert_allclose(numbers(ours), numbers(theirs), rtol=1e-5, atol=1e-6)


def test_update_gives_the_same_bits(ops, tensor):
    rng = np.random.default_rng(7)
    table, rows = rng.normal(size=(NUM_ROWS, 32)), rng.integers(NUM_ROWS, size=30)
    gradients = tensor(rng.normal(size=(30, 32)), "float32")
    runs = [tensor(table, "float32") for _ in range(3)]
    for run in runs:
        fast_update(ops, "sgd", run, [], tensor(rows), gradients)
    assert all((run == runs[0]).all() for run in runs)


@pytest.mark.parametrize("rule", RULES)
def test_update_takes_strided_input(ops, tensor, rule):
    rng = np.random.default_rng(8)
    wide = tensor(rng.normal(size=(NUM_ROWS, 8)), "float32")
    table, expected = wide[:, 2:5], numbers(wide)
    slots = make_slots(rule, (NUM_ROWS, 3))
    kept = [tensor(np.repeat(slot, 2, axis=0), "float32")[::2] for slot in slots]
    rows, gradients = np.array([4, 1, 4]), rng.normal(size=(3, 3))
    spread_rows = tensor(np.repeat(rows, 2))[::2]
    transposed = tensor(gradients.T.copy(), "float32").T
    fast_update(ops, rule, table, kept, spread_rows, transposed)
    slow_update(rule, expected[:, 2:5], slots, rows, gradients, 1)
    np.testing.assert_allclose(numbers(wide), expected, rtol=1e-5, atol=1e-6)
    for slot, expected_slot in zip(kept, slots, strict=True):
        np.testing.assert_allclose(numbers(slot), expected_slot, rtol=1e-5)


def test_update_of_a_parameter_is_seen_by_autograd(ops, tensor):
    table = tensor(np.ones((2, 2)), "float32").requires_grad_()
    rows = tensor([1])
    loss = (table * table).sum()
    fast_update(ops, "sgd", table, [], rows, tensor([[1.0, 1.0]], "float32"))
    np.testing.assert_allclose(numbers(table), [[1, 1], [0.9, 0.9]], rtol=1e-6)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_update_refuses_gradients_that_are_not_finite(ops, tensor, rule, bad):
    table = tensor(np.ones((3, 2)), "float32")
    slots = [tensor(slot, "float32") for slot in make_slots(rule, (3, 2))]
    before = [each.clone() for each in (table, *slots)]
    gradients = tensor([[1.0, 1.0], [1.0, bad]], "float32")
    with pytest.raises(ValueError, match="`gradients` must be finite; got NaN or infinite values"):
        fast_update(ops, rule, table, slots, tensor([0, 1]), gradients)
    assert all((now == then).all() for now, then in zip((table, *slots), before, strict=True))


BAD_UPDATES = [
    ({"rows": ("int64", [0, 3])}, ValueError, r"`rows` must be in \[0, 3\); got ids from 0 to 3"),
    ({"rows": ("int32", [-2, 0])}, ValueError, r"`rows` must be in \[0, 3\); got ids from -2 to 0"),
    ({"rows": ("float32", [0, 1])}, TypeError, "`rows` must be of dtype int32, int64; got torch.float32"),
    (
        {"gradients": ("float32", np.zeros((2, 3)))},
        ValueError,
        r"`gradients` must be of shape \(2, 2\); got shape",
    ),
    ({"gradients": ("float32", np.zeros(2))}, ValueError, "`gradients` must be dense and 2-dimensional"),
    (
        {"gradients": ("float64", np.zeros((2, 2)))},
        TypeError,
        "`gradients` must be of dtype float32, float16",
    ),
    ({"first": ("float16", np.zeros((3, 2)))}, TypeError, "`first_moments` must be of dtype float32; got"),
    (
        {"second": ("float32", np.zeros((4, 2)))},
        ValueError,
        r"`second_moments` must be of shape \(3, 2\); got",
    ),
    ({"step": ("int32", 1)}, TypeError, "`step` must be of dtype int64; got torch.int32"),
    ({"learning_rate": ("float32", [0.1])}, ValueError, "`learning_rate` must be dense and 0-dimensional"),
    ({"step": 0}, ValueError, "`step` must be at least 1; got 0"),
    ({"learning_rate": -1.0}, ValueError, r"`learning_rate` must be in \[0, inf\); got -1"),
    ({"learning_rate": float("nan")}, ValueError, "`learning_rate` must be in"),
    ({"beta_1": 1.0}, ValueError, r"`beta_1` must be in \[0, 1\); got 1"),
    ({"epsilon": -1.0}, ValueError, "`epsilon` must be in"),
]


@pytest.mark.parametrize(("change", "error", "message"), BAD_UPDATES)
def test_update_refuses(ops, tensor, change, error, message):
    given = {name: ("float32", np.ones((3, 2))) for name in ("table", "first", "second")}
    given |= {"rows": ("int64", [0, 1]), "gradients": ("float32", np.ones((2, 2)))}
    options = {name: value for name, value in change.items() if name not in given}
    options = {name: tensor(v[1], v[0]) if isinstance(v, tuple) else v for name, v in options.items()}
    given |= {name: value for name, value in change.items() if name in given}
    table, first, second, rows, gradients = (tensor(array, dtype) for dtype, array in given.values())
    before = [each.clone() for each in (table, first, second)]
    with pytest.raises(error, match=message):
        fast_update(ops, "lazy_adam", table, [first, second], rows, gradients, **options)
    assert all((now == then).all() for now, then in zip((table, first, second), before, strict=True))


def test_update_refuses_overlapping_rows(ops, tensor):
    rows, gradients = tensor([0]), tensor([[1.0, 1.0]], "float32")
    one_row = tensor(np.ones((1, 2)), "float32")
    with pytest.raises(ValueError, match=r"`table` must have rows of adjacent numbers that do not overlap"):
        fast_update(ops, "sgd", one_row.expand(3, 2), [], rows, gradients)
    table = tensor(np.ones((3, 2)), "float32")
    with pytest.raises(ValueError, match=r"`accumulator` must have rows"):
        fast_update(ops, "rowwise_adagrad", table, [one_row[0, :1].expand(3)], rows, gradients)
    with pytest.raises(ValueError, match=r"`accumulator` must be of shape \(3,\); got shape \(2,\)"):
        fast_update(ops, "rowwise_adagrad", table, [one_row[0]], rows, gradients)


def test_update_checks_can_be_left_out(ops, tensor):
    table = tensor(np.ones((2, 1)), "float32")
    gradients = tensor([[np.nan], [1.0]], "float32")
    fast_update(ops, "sgd", table, [], tensor([0, 1]), gradients, check=False)
    np.testing.assert_allclose(numbers(table), [[np.nan], [0.9]], rtol=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_compiled_update(build, rule):
    """The interpreter runs much Python that the compiler refuses."""
    kernels = import_module("sparse_data.ops_triton_rows")
    types = dict.fromkeys(("table", "slot", "second_slot", "gradients", "parts"), "*fp32")
    types |= {"rows": "*i32", "order": "*i64"}
    types |= dict.fromkeys(("num", "table_stride", "slot_stride", "second_stride"), "i32")
    types |= dict.fromkeys(("learning_rate", "epsilon", "rate_1", "rate_2"), "fp32")
    constants = {"dim": 32, "RULE": rule, "RATE_LIES_THERE": False, "BLOCK_P": 32, "BLOCK_D": 32}
    assert ".entry _update_kernel" in build(kernels._update_kernel, types, **constants)
    constants["BLOCK_J"] = 64
    del types["order"], types["gradients"]
    assert ".entry _update_long_kernel" in build(kernels._update_long_kernel, types, **constants)
