"""What NumPy would take without a word, or refuse without the name of the argument."""

import numpy as np
import pytest
import scipy.sparse as sp

from sparse_data import Bags, checks, datasets, ops_torch
from sparse_data.saved_folder import rebuilding


def test_the_other_byte_order_and_long_doubles_become_what_kernels_read():
    swapped = np.array([1.5, 2.5], dtype=">f8")
    read = checks.check_array("x", swapped)
    assert read.dtype == np.dtype("=f8")
    assert read.tolist() == [1.5, 2.5]
    assert swapped.dtype == np.dtype(">f8")
    assert checks.check_numeric("x", np.array([1.5], np.longdouble)).dtype == np.float64
    same = np.arange(3)
    assert checks.check_array("x", same) is same


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ([[1, 2], [3]], ValueError, "`x` must be an array with rows of one length"),
        (np.ma.masked_array([1, 2], mask=[0, 1]), ValueError, "without masked values; got 1 masked"),
        (sp.csr_array(np.eye(2)), TypeError, "`x` must be dense; got a csr_array"),
        (np.array([1j]), TypeError, "`x` must be numeric; got dtype complex128"),
    ],
)
def test_what_is_no_plain_array_is_named(value, error, message):
    with pytest.raises(error, match=message):
        checks.check_finite("x", value)


def test_a_mask_that_masks_nothing_is_fine():
    assert checks.check_finite("x", np.ma.masked_array([1.0, 2.0])).tolist() == [1.0, 2.0]


def test_numbers_larger_than_an_array_can_hold_are_refused():
    with pytest.raises(ValueError, match="`k` must be at most 9223372036854775807"):
        checks.check_count("k", 2**63)
    with pytest.raises(ValueError, match="`rate` must be in"):
        checks.check_in_range("rate", 10**400)
    with pytest.raises(TypeError, match="`labels` must have a length; got int"):
        checks.check_same_length(labels=3, weights=[1])


@pytest.mark.parametrize("indptr", [[0, 50_000_000, 3], [0, 1, 2], [0, 3, 1, 3], [0, -5, 3]])
def test_an_indptr_that_lies_does_not_end_the_process(indptr):
    with pytest.raises((RuntimeError, IndexError)):
        ops_torch.csr_degree(indptr, [1.0, 2.0, 3.0])


def test_rows_that_do_not_exist_are_named():
    log = datasets.Interactions([1, 2], [3, 4])
    with pytest.raises(IndexError, match=r"`index` must be in \[-2, 2\); got positions from 0 to 2"):
        log.take([0, 2])
    with pytest.raises(IndexError, match=r"`key` must be in \[-1, 1\); got 7"):
        Bags.from_lists([[1]])[7]


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ([[1], 3], "`lists` must hold one list a bag; got int"),
        (3, "`lists` must hold one list a bag; got int"),
    ],
)
def test_bags_of_what_are_no_lists(lists, message):
    with pytest.raises(TypeError, match=message):
        Bags.from_lists(lists)


def test_a_failure_in_rebuilding_names_the_folder():
    wanted = pytest.raises(
        ValueError, match="`path` must be a complete note; got 'here', whose parts do not fit"
    )
    with wanted, rebuilding("here", "note"):
        raise KeyError("weights")
