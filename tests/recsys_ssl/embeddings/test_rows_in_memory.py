"""Rows written in PyTorch, and the memory of large tables; neither asks which backend Keras runs on."""

from types import SimpleNamespace

import numpy as np
import pytest


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8"])
@pytest.mark.parametrize("shape", [(5,), (5, 3)])
@pytest.mark.parametrize("rows", [[], [4, 0, 2]])
def test_torch_writes_the_given_rows_alone(dtype, shape, rows):
    torch = pytest.importorskip("torch")
    from recsys_ssl.sparse_training.torch import read_rows, write_rows

    dtype = getattr(torch, dtype)
    variable = SimpleNamespace(value=torch.arange(int(np.prod(shape))).reshape(shape).to(dtype))
    expected = variable.value.numpy().copy()
    # Columns of a larger array: the values do not lie one after the other.
    values = torch.arange(40, 70).reshape(3, 10)[: len(rows), : shape[-1] if len(shape) == 2 else 1]
    values = (values if len(shape) == 2 else values[:, 0]).to(torch.float32)
    for place, row in enumerate(rows):
        expected[row] = values[place].numpy()
    ids = torch.tensor(rows, dtype=torch.int32)
    write_rows(variable, ids, values)
    np.testing.assert_array_equal(variable.value.numpy(), expected)
    assert variable.value.dtype == dtype
    np.testing.assert_array_equal(read_rows(variable, ids).numpy(), expected[rows])


@pytest.mark.parametrize(("value", "dtype"), [(0.0, "float32"), (0.1, "float32"), (0.0, "int8")])
def test_torch_fills_with_the_first_value(value, dtype):
    torch = pytest.importorskip("torch")
    from recsys_ssl.sparse_training.torch import filled

    found = filled((4, 2), value, dtype)
    assert found.dtype == getattr(torch, dtype)
    np.testing.assert_array_equal(found.numpy(), np.full((4, 2), value, dtype))
