import numpy as np
import pytest
import torch

from sparse_data.tensor_checks import check_length, check_module, check_tensor


def test_what_numpy_reads_as_numbers_becomes_a_tensor():
    given = np.arange(6)[::-2]
    assert check_tensor("x", given).tolist() == [5, 3, 1]
    assert check_tensor("x", [1.5]).dtype == torch.float64
    assert check_tensor("x", torch.tensor([3], dtype=torch.uint64)).dtype == torch.int64
    frozen = np.zeros(2)
    frozen.flags.writeable = False
    check_tensor("x", frozen)[0] = 1
    assert frozen.tolist() == [0, 0]


def test_what_is_no_tensor_is_named():
    with pytest.raises(TypeError, match="`x` must be numeric"):
        check_tensor("x", ["a"])
    with pytest.raises(TypeError, match="`x` must be numeric; got dtype torch"):
        check_tensor("x", torch.zeros(1, dtype=torch.complex64))
    with pytest.raises(ValueError, match="`y` must be 1-dimensional"):
        check_length("y", torch.zeros(2, 1), "nodes", 2)
    with pytest.raises(TypeError, match="`model` must be a torch"):
        check_module("model", 3)


def test_unsigned_numbers_beyond_int64_are_no_negative_ones():
    for given in ([2**63], np.array([2**64 - 1], np.uint64), torch.tensor([2**63], dtype=torch.uint64)):
        with pytest.raises(ValueError, match="`x` must fit into int64"):
            check_tensor("x", given)
    assert check_tensor("x", np.array([5], np.ulonglong)).tolist() == [5]


def test_a_length_beyond_memory_is_compared():
    with pytest.raises(ValueError, match="`y` and `nodes` must be of the same length; got 2 and 1"):
        check_length("y", torch.zeros(2), "nodes", 10**300)
