import pytest
import torch

import graph


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: graph.project_l0_([1.0, 2.0], 0.5), TypeError, "`params` must be float tensors; got float"),
        (lambda: graph.to_torch_prune(3, {}), TypeError, "`model` must be a torch.nn.Module"),
        (
            lambda: graph.to_torch_prune(torch.nn.Linear(1, 1), None),
            TypeError,
            "`weight_mask` must be a mapping",
        ),
        (
            lambda: graph.to_csr([[0], [1]], num_nodes=()),
            ValueError,
            "`num_nodes` must be a number or a pair",
        ),
        (lambda: graph.to_csr([[0], [1]], num_nodes=2**63), ValueError, "`num_nodes` must be at most"),
        (
            lambda: graph.to_csr([[0], [1]], values=[1.0, 2.0]),
            ValueError,
            "`values` and `edges` must be of the same",
        ),
    ],
)
def test_bad_arguments_of_public_functions_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
