import numpy as np
import pytest
import torch

from noisy_labels.node_labels.tensor_arguments import check_codes, check_float_tensor


def test_what_fits_is_returned():
    z, codes = torch.ones(2, 3), torch.tensor([0, -1], dtype=torch.int32)
    assert check_float_tensor("Z", z, n_rows=2) is z
    assert check_codes("labels", codes, low=-1, high=1, n=2).dtype == torch.int64


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: check_float_tensor("Z", np.ones((2, 2))),
            TypeError,
            "`Z` must be a float32 or float64 tensor",
        ),
        (lambda: check_float_tensor("Z", torch.ones(2)), ValueError, "`Z` must be of two dimensions"),
        (lambda: check_float_tensor("Z", torch.ones(2, 2), n_rows=3), ValueError, "with 3 rows"),
        (lambda: check_codes("y", torch.ones(2), low=0, high=2), TypeError, "`y` must be an integer tensor"),
        (lambda: check_codes("y", torch.tensor([2]), low=0, high=2), ValueError, "values from 2 to 2"),
        (lambda: check_codes("y", torch.tensor([1]), low=0, high=2, n=2), ValueError, "shape"),
    ],
)
def test_what_does_not_fit_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
