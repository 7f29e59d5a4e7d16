"""Cases of the Triton pooled lookup, against numbers by hand and `ops_numpy`.

No tests by themselves: ``test_ops_triton.py`` runs them in the interpreter and on a GPU if there is one.
"""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparse_data import ops_numpy

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
COMBINERS = ("sum", "mean", "sqrtn")
NUM_ROWS = 9
# Empty bags at the ends and inside, single values, and one bag longer than a program reads at a time.
LENGTHS = (0, 3, 1, 0, 40, 2, 0)


@pytest.fixture(scope="module")
def ops(device):
    return import_module("sparse_data.ops_triton")


def numbers(tensor):
    return tensor.detach().double().cpu().numpy()


def ragged(seed=0, num_rows=NUM_ROWS, lengths=LENGTHS):
    rng = np.random.default_rng(seed)
    offsets = np.cumsum([0, *lengths])
    return rng.integers(num_rows, size=offsets[-1]), offsets, rng.uniform(-1, 2, size=offsets[-1])


def test_lookup_by_hand(ops, tensor):
    table = tensor([[1, 0], [0, 2], [3, 3]], "float32")
    values, offsets = tensor([0, 1, 2, 2]), tensor([0, 2, 2, 3, 4])
    weights = tensor([1, 3, 2, 0])  # whole numbers are taken too
    root = np.sqrt(10)
    for arguments, expected in [
        ((None, "sum"), [[1, 2], [0, 0], [3, 3], [3, 3]]),
        ((None, "mean"), [[0.5, 1], [0, 0], [3, 3], [3, 3]]),
        ((None, "sqrtn"), [[2**-0.5, 2**0.5], [0, 0], [3, 3], [3, 3]]),
        ((weights, "sum"), [[1, 6], [0, 0], [6, 6], [0, 0]]),
        ((weights, "mean"), [[0.25, 1.5], [0, 0], [3, 3], [0, 0]]),
        ((weights, "sqrtn"), [[1 / root, 6 / root], [0, 0], [3, 3], [0, 0]]),
    ]:
        got = ops.pooled_lookup(table, values, offsets, *arguments)
        np.testing.assert_allclose(numbers(got), expected, rtol=1e-6)


@pytest.mark.parametrize("combiner", COMBINERS)
@pytest.mark.parametrize(("dtype", "ids", "dim"), VARIANTS)
def test_lookup(ops, tensor, dtype, ids, dim, combiner):
    values, offsets, weights = ragged()
    table = tensor(np.random.default_rng(1).normal(size=(NUM_ROWS, dim)), dtype)
    for given_weights in (None, tensor(weights, dtype)):
        got = ops.pooled_lookup(table, tensor(values, ids), tensor(offsets, ids), given_weights, combiner)
        assert got.dtype == table.dtype
        known = None if given_weights is None else numbers(given_weights)
        expected = ops_numpy.pooled_lookup(numbers(table), values, offsets, known, combiner)
        np.testing.assert_allclose(numbers(got), expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@settings(deadline=None, max_examples=10)
@given(data=st.data())
def test_lookup_random(ops, tensor, data):
    num_rows, dim = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 9))
    lengths = data.draw(st.lists(st.integers(0, 6), max_size=6))
    combiner = data.draw(st.sampled_from(COMBINERS))
    values, offsets, weights = ragged(data.draw(st.integers(0, 99)), num_rows, lengths)
    weights = np.abs(weights) + 0.1 if data.draw(st.booleans()) else None
    table = np.random.default_rng(2).normal(size=(num_rows, dim)).astype(np.float32)
    got = ops.pooled_lookup(
        tensor(table),
        tensor(values),
        tensor(offsets),
        None if weights is None else tensor(weights),
        combiner,
    )
    expected = ops_numpy.pooled_lookup(table.astype(np.float64), values, offsets, weights, combiner)
    assert got.shape == expected.shape
    np.testing.assert_allclose(numbers(got), expected, rtol=1e-5, atol=1e-6)


def central_differences(function, array):
    """Gradient of a scalar function of one float64 array."""
    gradient = np.empty_like(array)
    for entry in np.ndindex(array.shape):
        moved = array.copy(), array.copy()
        moved[0][entry] += 1e-6
        moved[1][entry] -= 1e-6
        gradient[entry] = (function(moved[0]) - function(moved[1])) / 2e-6
    return gradient


@pytest.mark.parametrize("combiner", COMBINERS)
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize(("dim", "lengths"), [(1, (0, 3, 1, 0)), (5, (2, 0, 40))])
def test_lookup_gradient(ops, tensor, dim, lengths, weighted, combiner):
    values, offsets, weights = ragged(3, lengths=lengths)
    weights = np.abs(weights) + 0.5
    rng = np.random.default_rng(4)
    table, cotangent = rng.normal(size=(NUM_ROWS, dim)), rng.normal(size=(len(lengths), dim))

    def loss(table, weights):
        out = ops_numpy.pooled_lookup(table, values, offsets, weights if weighted else None, combiner)
        return (out * cotangent).sum()

    leaf = tensor(table, "float32").requires_grad_()
    weight_leaf = tensor(weights, "float32").requires_grad_()
    out = ops.pooled_lookup(
        leaf, tensor(values), tensor(offsets), weight_leaf if weighted else None, combiner
    )
    out.backward(tensor(cotangent, "float32"))
    assert leaf.grad.is_sparse
    assert leaf.grad._nnz() == len(values)  # the lookups, not the rows of the table
    expected = central_differences(lambda moved: loss(moved, weights), table)
    np.testing.assert_allclose(numbers(leaf.grad.to_dense()), expected, rtol=1e-4, atol=1e-5)
    if weighted:
        expected = central_differences(lambda moved: loss(table, moved), weights)
        np.testing.assert_allclose(numbers(weight_leaf.grad), expected, rtol=1e-4, atol=1e-5)


def test_lookup_gradient_of_one_argument_alone(ops, tensor):
    values, offsets = tensor([0, 1, 1]), tensor([0, 2, 3])
    table = tensor([[1.0, 2.0], [3.0, 4.0]], "float16")
    weights = tensor([1.0, 1.0, 2.0], "float32").requires_grad_()
    ops.pooled_lookup(table, values, offsets, weights).sum().backward()
    assert table.grad is None
    np.testing.assert_allclose(numbers(weights.grad), [3, 7, 7])
    table.requires_grad_()
    ops.pooled_lookup(table, values, offsets, weights.detach()).sum().backward()
    assert table.grad.dtype == table.dtype
    np.testing.assert_allclose(numbers(table.grad.to_dense()), [[1, 1], [3, 3]])


@pytest.mark.parametrize("combiner", ["mean", "sqrtn"])
def test_lookup_gradient_is_zero_where_the_divisor_is(ops, tensor, combiner):
    table = tensor([[1, 2], [3, 4]], "float32").requires_grad_()
    weights = tensor([0, 0], "float32").requires_grad_()
    out = ops.pooled_lookup(table, tensor([0, 1]), tensor([0, 2]), weights, combiner)
    out.sum().backward()
    assert not numbers(out).any()
    assert not numbers(table.grad.to_dense()).any()
    assert not numbers(weights.grad).any()


def test_lookup_takes_strided_input(ops, tensor):
    values, offsets, weights = ragged()
    wide = tensor(np.random.default_rng(1).normal(size=(NUM_ROWS, 8)))
    table = wide[:, 2:5].float()[:, :]
    table = tensor(np.zeros((NUM_ROWS, 8)), "float32")[:, 2:5].copy_(table)
    assert table.stride() == (8, 1)
    strided = [tensor(np.repeat(array, 2))[::2] for array in (values, offsets, weights)]
    got = ops.pooled_lookup(table.requires_grad_(), *strided, "mean")
    expected = ops_numpy.pooled_lookup(numbers(table), values, offsets, weights, "mean")
    np.testing.assert_allclose(numbers(got), expected, rtol=1e-5, atol=1e-5)
    column = tensor(np.arange(8.0).reshape(2, 4), "float32")[:, 1:2].T.contiguous().T
    got = ops.pooled_lookup(column, tensor([1, 1]), tensor([0, 2]))
    np.testing.assert_array_equal(numbers(got), [[10]])


@pytest.mark.parametrize("dim", [0, 2])
def test_lookup_of_nothing(ops, tensor, dim):
    table = tensor(np.zeros((3, dim)), "float32").requires_grad_()
    nothing = tensor(np.zeros(0), "int64")
    for offsets, shape in (([0], (0, dim)), ([0, 0], (1, dim))):
        out = ops.pooled_lookup(table, nothing, tensor(offsets), combiner="mean")
        assert out.shape == shape
        assert not numbers(out).any()
        out.sum().backward()
        assert table.grad._nnz() == 0


BAD_LOOKUPS = [
    ({"values": ("int64", [0, 3])}, ValueError, r"`values` must be in \[0, 3\); got ids from 0 to 3"),
    ({"values": ("int64", [-1, 0])}, ValueError, r"`values` must be in \[0, 3\); got ids from -1 to 0"),
    ({"values": ("float32", [0, 1])}, TypeError, "`values` must be of dtype int32, int64; got torch.float32"),
    (
        {"values": ("int64", [[0, 1]])},
        ValueError,
        r"`values` must be dense and 1-dimensional; got shape \(1, 2",
    ),
    ({"values": ("int64", [0])}, ValueError, "`offsets` must begin at 0, never fall and end at 1"),
    ({"offsets": ("int64", [0, 2, 1, 2])}, ValueError, "`offsets` must begin at 0, never fall and end at 2"),
    ({"offsets": ("int64", [])}, ValueError, "`offsets` must begin at 0"),
    (
        {"weights": ("float32", [1.0])},
        ValueError,
        "`values` and `weights` must be of the same length; got 2 and",
    ),
    ({"weights": ("bool", [True, True])}, TypeError, "`weights` must be of dtype .*; got torch.bool"),
    (
        {"table": ("float64", np.zeros((3, 2)))},
        TypeError,
        "`table` must be of dtype float32, float16, bfloat16",
    ),
    ({"table": ("float32", np.zeros(3))}, ValueError, "`table` must be dense and 2-dimensional"),
    ({"combiner": "max"}, ValueError, "`combiner` must be one of 'sum', 'mean', 'sqrtn'; got 'max'"),
]


@pytest.mark.parametrize(("change", "error", "message"), BAD_LOOKUPS)
def test_lookup_refuses(ops, tensor, change, error, message):
    given = {
        "table": ("float32", np.zeros((3, 2))),
        "values": ("int64", [0, 1]),
        "offsets": ("int64", [0, 2]),
    }
    arguments = {
        name: value if name == "combiner" else tensor(value[1], value[0])
        for name, value in (given | change).items()
    }
    with pytest.raises(error, match=message):
        ops.pooled_lookup(**arguments)


def test_lookup_refuses_other_kinds_of_tensor(ops, tensor):
    table, values, offsets = tensor(np.zeros((3, 2)), "float32"), tensor([0]), [0, 1]
    with pytest.raises(TypeError, match=r"`offsets` must be a torch.Tensor; got list"):
        ops.pooled_lookup(table, values, offsets)
    with pytest.raises(ValueError, match=r"`values` must be on .* as the table; got meta"):
        ops.pooled_lookup(table, values.to("meta"), tensor(offsets))
    with pytest.raises(ValueError, match=r"`table` must have rows of adjacent numbers.*got strides \(1, 3\)"):
        ops.pooled_lookup(tensor(np.zeros((2, 3)), "float32").T, values, tensor(offsets))


def test_lookup_checks_can_be_left_out(ops, tensor):
    table = tensor(np.ones((2, 1)), "float32")
    got = ops.pooled_lookup(table, tensor([0, 1]), tensor([0, 2]), check=False)
    np.testing.assert_allclose(numbers(got), [[2]])


@pytest.mark.parametrize("combiner", COMBINERS)
def test_compiled_lookup(build, combiner):
    """The interpreter runs much Python that the compiler refuses."""
    kernels = import_module("sparse_data.ops_triton")
    types = dict.fromkeys(("table", "out", "gradients", "row_gradients"), "*fp16")
    types |= dict.fromkeys(("weights", "weight_gradients", "divisors"), "*fp32")
    types |= {"values": "*i32", "offsets": "*i64", "num_bags": "i32", "table_stride": "i32"}
    constants = {
        "dim": 128,
        "WEIGHTED": True,
        "COMBINER": combiner,
        "BLOCK_B": 2,
        "BLOCK_J": 8,
        "BLOCK_D": 128,
    }
    pool = {name: types[name] for name in types if name in kernels._pool_kernel.arg_names}
    assert ".entry _pool_kernel" in build(kernels._pool_kernel, pool, **constants)
    wants = {"WANTS_ROWS": True, "WANTS_WEIGHTS": True}
    assert ".entry _pool_gradient_kernel" in build(kernels._pool_gradient_kernel, types, **constants, **wants)


def test_compiled_kernels_refuse_a_table_on_the_cpu(build):
    torch, kernels = import_module("torch"), import_module("sparse_data.ops_triton")
    with pytest.raises(ValueError, match=r"`table` must be on a CUDA device; got cpu\. .*TRITON_INTERPRET=1"):
        kernels.pooled_lookup(torch.zeros(1, 1), torch.tensor([0]), torch.tensor([0, 1]))
