"""One table of hand-computed cases over the four engines, and the gradients of the Keras and torch ops.

The Keras engine is the backend of this process; the last test runs the Keras rows under the other backends.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sparse_data import ops_numpy

ENGINES = ("numpy", "numba", "keras", "torch")
INF = float("inf")


def f(values):
    return np.array(values, dtype=np.float64)


def i(values):
    return np.array(values, dtype=np.int64)


# A table and three bags of it: rows 0 and 1, none, row 2, row 2 with weight 0.
TABLE = f([[1, 0], [0, 2], [3, 3]])
BAGS = (TABLE, i([0, 1, 2, 2]), i([0, 2, 2, 3, 4]))
WEIGHTS = f([1, 3, 2, 0])
# The matrix [[1, 3, 0], [0, 0, 0], [0, 1, 0]]: row sums 4, 0, 1 and column sums 1, 4, 0.
CSR = (i([0, 2, 2, 3]), i([0, 1, 1]), f([1, 3, 1]))
ROOT = np.sqrt(10.0)

# (op, arguments, expected values)
CASES = [
    ("segment_sum", (f([1, 2, 4, 8]), i([2, 0, 2, 3]), 5), f([2, 0, 5, 8, 0])),
    ("segment_sum", (f([[1, -1], [2, -2], [4, -4]]), i([1, 1, 0]), 3), f([[4, -4], [3, -3], [0, 0]])),
    ("segment_sum", (f([]), i([]), 2), f([0, 0])),
    ("segment_sum", (np.zeros((0, 2)), i([]), 2), np.zeros((2, 2))),
    ("segment_sum", (f([]), i([]), 0), f([])),
    ("segment_sum", (f([3]), i([0]), 1), f([3])),
    ("segment_mean", (f([1, 2, 4, 8]), i([2, 0, 2, 3]), 5), f([2, 0, 2.5, 8, 0])),
    ("segment_mean", (f([[1, -1], [2, -2], [4, -4]]), i([1, 1, 0]), 3), f([[4, -4], [1.5, -1.5], [0, 0]])),
    ("segment_mean", (f([]), i([]), 2), f([0, 0])),
    ("segment_mean", (f([3]), i([0]), 1), f([3])),
    ("segment_max", (f([-1, -5, -3, 7, 0]), i([0, 1, 0, 3, 3]), 4), f([-1, -5, 0, 7])),
    ("segment_max", (f([[-1, 4], [-2, 5]]), i([1, 1]), 2), f([[0, 0], [-1, 5]])),
    ("segment_max", (f([-INF]), i([1]), 2), f([0, -INF])),
    ("segment_max", (f([]), i([]), 2), f([0, 0])),
    ("segment_softmax", (np.log(f([1, 3, 9, 2, 2])), i([0, 0, 2, 1, 1]), 4), f([0.25, 0.75, 1, 0.5, 0.5])),
    ("segment_softmax", (f([1000, 1000, -1000]), i([0, 0, 0]), 1), f([0.5, 0.5, 0])),
    ("segment_softmax", (f([-INF, 0, -INF]), i([0, 0, 1]), 2), f([0, 1, 0])),
    ("segment_softmax", (np.log(f([[1, 2], [3, 2]])), i([0, 0]), 1), f([[0.25, 0.5], [0.75, 0.5]])),
    ("segment_softmax", (f([]), i([]), 2), f([])),
    ("pooled_lookup", (*BAGS, None, "sum"), f([[1, 2], [0, 0], [3, 3], [3, 3]])),
    ("pooled_lookup", (*BAGS, None, "mean"), f([[0.5, 1], [0, 0], [3, 3], [3, 3]])),
    ("pooled_lookup", (*BAGS, None, "sqrtn"), f([[2**-0.5, 2**0.5], [0, 0], [3, 3], [3, 3]])),
    ("pooled_lookup", (*BAGS, WEIGHTS, "sum"), f([[1, 6], [0, 0], [6, 6], [0, 0]])),
    ("pooled_lookup", (*BAGS, WEIGHTS, "mean"), f([[0.25, 1.5], [0, 0], [3, 3], [0, 0]])),
    ("pooled_lookup", (*BAGS, WEIGHTS, "sqrtn"), f([[1 / ROOT, 6 / ROOT], [0, 0], [3, 3], [0, 0]])),
    ("pooled_lookup", (TABLE, i([]), i([0, 0]), None, "mean"), f([[0, 0]])),
    ("pooled_lookup", (TABLE, i([]), i([0]), None, "sum"), np.zeros((0, 2))),
    ("pooled_lookup", (TABLE, i([1]), i([0, 1]), f([5]), "sqrtn"), f([[0, 2]])),
    ("csr_degree", (CSR[0],), i([2, 0, 1])),
    ("csr_degree", (CSR[0], CSR[2]), f([4, 0, 1])),
    ("csr_degree", (i([0]),), i([])),
    ("csr_degree", (i([0, 0]), f([])), f([0])),
    ("normalize_csr", (*CSR, 3, "row"), f([0.25, 0.75, 1])),
    ("normalize_csr", (*CSR, 3, "column"), f([1, 0.75, 0.25])),
    ("normalize_csr", (*CSR, 3, "symmetric"), f([0.5, 0.75, 0.5])),
    ("normalize_csr", (*CSR[:2], f([0, 0, 4]), 3, "symmetric"), f([0, 0, 1])),
    ("normalize_csr", (*CSR[:2], f([0, 0, 4]), 3, "row"), f([0, 0, 1])),
    ("normalize_csr", (*CSR[:2], f([0, 0, 4]), 3, "column"), f([0, 0, 1])),
    ("normalize_csr", (i([0, 0]), i([]), f([]), 2, "symmetric"), f([])),
    ("propagate", (*CSR, f([[1, 10], [2, 20], [0, -1]])), f([[7, 70], [0, 0], [2, 20]])),
    ("propagate", (i([0, 2]), i([0, 2]), f([-1, 0.5]), f([[1], [2], [8]])), f([[3]])),
    ("propagate", (i([0, 0, 0]), i([]), f([]), f([[1, 2]])), np.zeros((2, 2))),
    ("top_k", (f([[1, 3, 2, 3], [0, 0, 0, 0]]), 3), (f([[3, 3, 2], [0, 0, 0]]), i([[1, 3, 2], [0, 1, 2]]))),
    ("top_k", (f([[5, 1, 5, 5], [1, 2, 3, 4]]), 2), (f([[5, 5], [4, 3]]), i([[0, 2], [3, 2]]))),
    ("top_k", (f([[2, -1, 9]]), 3), (f([[9, 2, -1]]), i([[2, 0, 1]]))),
    ("top_k", (f([[-INF, 1, -INF]]), 2), (f([[1, -INF]]), i([[1, 0]]))),
    ("top_k", (f([[-INF, -INF]]), 1), (f([[-INF]]), i([[0]]))),
    ("top_k", (np.zeros((0, 3)), 2), (np.zeros((0, 2)), np.zeros((0, 2), dtype=np.int64))),
    ("unique_rows", (i([7, 2, 7, 9]),), (i([2, 7, 9]), i([1, 0, 1, 2]))),
    ("unique_rows", (i([10**6, 0, 10**6]),), (i([0, 10**6]), i([1, 0, 1]))),
    ("unique_rows", (i([-3, 5, -3]),), (i([-3, 5]), i([0, 1, 0]))),
    ("unique_rows", (i([4]),), (i([4]), i([0]))),
    ("unique_rows", (i([]),), (i([]), i([]))),
    ("project_l0", (f([3, -1, -4, 3]), 2), f([3, 0, -4, 0])),
    ("project_l0", (f([[1, -2], [2, 0.5]]), 1), f([[0, -2], [0, 0]])),
    ("project_l0", (f([1, -2]), 2), f([1, -2])),
    ("project_l0", (f([1, -2]), 0), f([0, 0])),
    ("project_l0", (f([]), 0), f([])),
]
VARIANTS = [
    ("float32", "int64", "contiguous"),
    ("float64", "int32", "contiguous"),
    ("float32", "int32", "strided"),
    ("float64", "int64", "strided"),
]


def load(engine):
    if engine in ("keras", "torch"):
        pytest.importorskip(engine)
    return import_module(f"sparse_data.ops_{engine}")


def prepare(argument, engine, float_dtype="float64", int_dtype="int64", layout="contiguous"):
    if not isinstance(argument, np.ndarray):
        return argument
    array = argument.astype(float_dtype if argument.dtype.kind == "f" else int_dtype)
    if layout == "strided":  # every second value of an array whose other values are junk
        wide = np.full((*array.shape[:-1], 2 * array.shape[-1]), 77, dtype=array.dtype)
        wide[..., ::2] = array
        array = wide[..., ::2]
    if engine == "torch":
        return import_module("torch").as_tensor(array)
    return import_module("keras").ops.convert_to_tensor(array) if engine == "keras" else array


def to_numpy(tensor, engine):
    if hasattr(tensor, "detach"):  # of torch, or of Keras on torch
        return tensor.detach().numpy()
    return import_module("keras").ops.convert_to_numpy(tensor) if engine == "keras" else tensor


def case_ids():
    return [f"{name}-{position}" for position, (name, _, _) in enumerate(CASES)]


@pytest.mark.parametrize("variant", VARIANTS, ids="-".join)
@pytest.mark.parametrize("case", CASES, ids=case_ids())
@pytest.mark.parametrize("engine", ENGINES)
def test_values(engine, case, variant):
    name, arguments, expected = case
    got = getattr(load(engine), name)(*[prepare(argument, engine, *variant) for argument in arguments])
    pairs = zip(got, expected, strict=True) if isinstance(expected, tuple) else [(got, expected)]
    for one_got, one_expected in pairs:
        array = to_numpy(one_got, engine)
        assert array.shape == one_expected.shape
        assert array.dtype.kind == one_expected.dtype.kind
        if one_expected.dtype.kind == "f" and engine != "keras":  # Keras on JAX has no float64
            assert array.dtype == variant[0]
        single = variant[0] == "float32" or engine == "keras"  # Keras sums in float32 on JAX and on torch
        np.testing.assert_allclose(array, one_expected, rtol=1e-6 if single else 1e-12, atol=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
def test_arguments_are_left_alone(engine):
    for name, arguments, _ in CASES:
        copies = [argument.copy() if isinstance(argument, np.ndarray) else argument for argument in arguments]
        getattr(load(engine), name)(*[prepare(copy, engine) for copy in copies])
        for copy, argument in zip(copies, arguments, strict=True):
            np.testing.assert_array_equal(copy, argument)


@pytest.mark.parametrize("engine", ENGINES)
def test_whole_numbers_become_floats(engine):
    got = load(engine).segment_mean(prepare(i([1, 2]), engine), prepare(i([0, 0]), engine), 1)
    np.testing.assert_allclose(to_numpy(got, engine), [1.5])


# (op, arguments, positions of the float arguments to differentiate); no ties, no zeros under a root
rng = np.random.default_rng(3)
SMOOTH = [
    ("segment_sum", (rng.normal(size=(5, 2)), i([2, 0, 2, 3, 0]), 5), (0,)),
    ("segment_mean", (rng.normal(size=(5, 2)), i([2, 0, 2, 3, 0]), 5), (0,)),
    ("segment_max", (rng.normal(size=(5, 2)), i([2, 0, 2, 3, 0]), 5), (0,)),
    ("segment_softmax", (rng.normal(size=5), i([2, 0, 2, 3, 0]), 5), (0,)),
    *(
        ("pooled_lookup", (rng.normal(size=(4, 3)), i([0, 1, 1, 3]), i([0, 3, 3, 4]), weights, combiner), wrt)
        for combiner in ("sum", "mean", "sqrtn")
        for weights, wrt in ((f([0.5, 2, 1, 3]), (0, 3)), (None, (0,)))
    ),
    ("csr_degree", (CSR[0], CSR[2]), (1,)),
    *(("normalize_csr", (*CSR[:2], f([1, 3, 2]), 3, kind), (2,)) for kind in ("symmetric", "row", "column")),
    ("propagate", (*CSR, rng.normal(size=(3, 2))), (2, 3)),
    ("top_k", (rng.normal(size=(3, 5)), 2), (0,)),
    ("project_l0", (rng.normal(size=(2, 3)), 3), (0,)),
]


def first(output):
    return output[0] if isinstance(output, tuple | list) else output


def finite_differences(name, arguments, position, cotangent):
    """Gradient of sum(cotangent * op) by central differences of the NumPy definition."""
    gradient = np.empty_like(arguments[position])
    for entry in np.ndindex(gradient.shape):
        ends = []
        for step in (1e-6, -1e-6):
            moved = [
                np.array(argument) if k == position else argument for k, argument in enumerate(arguments)
            ]
            moved[position][entry] += step
            ends.append((first(getattr(ops_numpy, name)(*moved)) * cotangent).sum())
        gradient[entry] = (ends[0] - ends[1]) / 2e-6
    return gradient


def keras_gradient(function, value):
    """Gradient of a scalar function of one array under the backend of this process."""
    keras = import_module("keras")
    tensor = keras.ops.convert_to_tensor(value)
    if keras.config.backend() == "tensorflow":
        tensorflow = import_module("tensorflow")
        with tensorflow.GradientTape() as tape:
            tape.watch(tensor)
            loss = function(tensor)
        return tensorflow.convert_to_tensor(tape.gradient(loss, tensor)).numpy()
    if keras.config.backend() == "jax":
        return np.asarray(import_module("jax").grad(function)(tensor))
    tensor.requires_grad_()
    return import_module("torch").autograd.grad(function(tensor), tensor)[0].numpy()


@pytest.mark.parametrize("case", SMOOTH, ids=[f"{name}-{k}" for k, (name, _, _) in enumerate(SMOOTH)])
def test_keras_gradient(case):
    ops_keras, keras = load("keras"), import_module("keras")
    name, arguments, positions = case
    cotangent = np.random.default_rng(0).normal(size=first(getattr(ops_numpy, name)(*arguments)).shape)
    for position in positions:

        def loss(tensor, position=position):
            tensors = [prepare(argument, "keras") for argument in arguments]
            tensors[position] = tensor
            out = first(getattr(ops_keras, name)(*tensors))
            return keras.ops.sum(out * keras.ops.cast(cotangent, out.dtype))

        got = keras_gradient(loss, arguments[position])
        expected = finite_differences(name, arguments, position, cotangent)
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", SMOOTH, ids=[f"{name}-{k}" for k, (name, _, _) in enumerate(SMOOTH)])
def test_torch_gradient(case):
    ops_torch, torch = load("torch"), import_module("torch")
    name, arguments, positions = case
    tensors = [prepare(argument, "torch") for argument in arguments]
    for position in positions:
        tensors[position].requires_grad_()
    assert torch.autograd.gradcheck(lambda *args: first(getattr(ops_torch, name)(*args)), tensors)


@pytest.mark.parametrize("engine", ["keras", "torch"])
def test_gradient_is_finite_where_a_divisor_is_zero(engine):
    ops, torch_or_keras = load(engine), import_module(engine)
    weights = f([1, 1, 0, 0])

    def loss(tensor, combiner):
        out = ops.pooled_lookup(
            *[prepare(argument, engine) for argument in (TABLE, i([0, 1, 2, 2]), i([0, 2, 2, 3, 4]))],
            tensor,
            combiner,
        )
        return out.sum() if engine == "torch" else torch_or_keras.ops.sum(out)

    for combiner in ("sum", "mean", "sqrtn"):
        if engine == "keras":
            gradient = keras_gradient(lambda tensor, combiner=combiner: loss(tensor, combiner), weights)
        else:
            tensor = prepare(weights, engine).requires_grad_()
            gradient = torch_or_keras.autograd.grad(loss(tensor, combiner), tensor)[0].numpy()
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("case", CASES[::3], ids=case_ids()[::3])
def test_keras_compiled(case):
    ops_keras, keras = load("keras"), import_module("keras")
    name, arguments, expected = case
    if name == "unique_rows" or keras.config.backend() == "torch":
        pytest.skip("no fixed shape, or a backend that does not compile")
    tensors = [prepare(argument, "keras") for argument in arguments]
    arrays = [
        tensor
        for tensor, argument in zip(tensors, arguments, strict=True)
        if isinstance(argument, np.ndarray)
    ]

    def run(*inputs):
        remaining = iter(inputs)
        merged = [next(remaining) if isinstance(argument, np.ndarray) else argument for argument in arguments]
        return first(getattr(ops_keras, name)(*merged))

    if keras.config.backend() == "jax":
        compiled = import_module("jax").jit(run)
    else:
        tensorflow = import_module("tensorflow")
        # Lengths are unknown while the graph is built, as in a data pipeline; columns of a matrix are known.
        specs = [tensorflow.TensorSpec([None, *array.shape[1:]], array.dtype) for array in arrays]
        compiled = tensorflow.function(run, input_signature=specs)
    np.testing.assert_allclose(to_numpy(compiled(*arrays), "keras"), first(expected), rtol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_bad_choices(engine):
    ops = load(engine)
    scores = prepare(f([[1, 2]]), engine)
    with pytest.raises(ValueError, match="`k` must be at most 2; got 3"):
        ops.top_k(scores, 3)
    with pytest.raises(ValueError, match="`k` must be at least 1; got 0"):
        ops.top_k(scores, 0)
    with pytest.raises(ValueError, match="`k` must be at most 2; got 3"):
        ops.project_l0(scores, 3)
    with pytest.raises(ValueError, match="`combiner` must be one of 'sum', 'mean', 'sqrtn'; got 'max'"):
        ops.pooled_lookup(*[prepare(argument, engine) for argument in BAGS], None, "max")
    if engine == "keras":
        with pytest.raises(ValueError, match="`combiner` must be one of 'sum', 'mean', 'sqrtn'; got <NA>"):
            ops.pool_rows(prepare(f([[1]]), engine), prepare(np.array([0, 1]), engine), combiner=pd.NA)
    with pytest.raises(ValueError, match="`kind` must be one of 'symmetric', 'row', 'column'; got 'both'"):
        ops.normalize_csr(*[prepare(argument, engine) for argument in CSR], 3, "both")


@pytest.mark.parametrize(("engine", "extra"), [("keras", "recsys"), ("torch", "torch")])
def test_missing_engine(monkeypatch, engine, extra):
    monkeypatch.setitem(sys.modules, engine, None)
    monkeypatch.delitem(sys.modules, f"sparse_data.ops_{engine}", raising=False)
    with pytest.raises(ImportError, match=rf"pip install 'sparselabels\[{extra}\]'"):
        import_module(f"sparse_data.ops_{engine}")


def test_other_keras_backends():
    keras = pytest.importorskip("keras")
    if os.environ.get("SPARSELABELS_ONE_BACKEND"):
        pytest.skip("this process tests its own backend")
    others = {"tensorflow", "jax", "torch"} - {keras.config.backend()}
    # Two of the four variants: the first runs of a shape, which compile it, take most of the time.
    rows = "keras and not backends and not float64-int32 and not float32-int32"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-k", rows, __file__]
    running = {}
    for backend in filter(importlib.util.find_spec, sorted(others)):  # those installed, side by side
        running[backend] = subprocess.Popen(
            command,
            cwd=Path(__file__).parents[2],
            # XLA's optimizer takes most of the time of such small programs.
            env=os.environ
            | {
                "KERAS_BACKEND": backend,
                "SPARSELABELS_ONE_BACKEND": "1",
                "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    for backend, process in running.items():
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, f"{backend}: {output[-5000:]}"
