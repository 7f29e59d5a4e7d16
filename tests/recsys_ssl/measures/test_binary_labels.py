import numpy as np
import pytest

from recsys_ssl.measures.binary_labels import (
    check_binary,
    check_both_classes,
    check_funnel,
    check_probabilities,
    check_weights,
)


@pytest.mark.parametrize("dtype", [bool, "int8", "uint8", "int64", "float32"])
def test_labels_of_any_numeric_dtype_become_bools(dtype):
    labels = check_binary("labels", np.array([0, 1, 1], dtype=dtype))
    assert labels.dtype == bool
    assert labels.tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([0, 2, 3], ValueError, r"`y` must be 0 or 1; got 2 other value\(s\), first 2 at position 1"),
        ([0, -1], ValueError, "first -1 at position 1"),
        ([1.0, float("nan")], ValueError, "first nan at position 1"),
        ([1.0, float("inf")], ValueError, "first inf at position 1"),
        ([], ValueError, "`y` must be non-empty"),
        ([[0, 1]], ValueError, "`y` must be 1-dimensional"),
        (["0", "1"], TypeError, "`y` must be numeric"),
    ],
)
def test_labels_are_refused(labels, error, message):
    with pytest.raises(error, match=message):
        check_binary("y", labels)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (
            [0.5, 1.5],
            ValueError,
            r"`p` must be in \[0, 1\]; got 1 value\(s\) outside, first 1.5 at",
        ),
        ([-0.1], ValueError, "first -0.1 at position 0"),
        ([float("nan")], ValueError, "`p` must be finite"),
        ([], ValueError, "`p` must be non-empty"),
        ([[0.5]], ValueError, "`p` must be 1-dimensional"),
        (["a"], TypeError, "`p` must be numeric"),
    ],
)
def test_probabilities_are_refused(values, error, message):
    with pytest.raises(error, match=message):
        check_probabilities("p", values)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, 1], "must be of the same length; got 3 and 2"),
        ([1, -1, 1], "`sample_weight` must be non-negative"),
        ([1, float("nan"), 1], "`sample_weight` must be finite"),
        ([0, 0, 0], "`sample_weight` must hold a positive number"),
        ([[1], [1], [1]], "`sample_weight` must be 1-dimensional"),
    ],
)
def test_weights_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        check_weights(weights, 3)


@pytest.mark.parametrize("labels", [[True, True], [False]])
def test_one_class_is_refused(labels):
    with pytest.raises(ValueError, match="`y` must hold both 0 and 1 here; got"):
        check_both_classes("y", np.array(labels), " here")


def test_a_conversion_without_a_click_is_refused():
    with pytest.raises(ValueError, match=r"got 2 conversion\(s\) without a click, first at position 1"):
        check_funnel([1, 0, 0], [1, 1, 1])
    with pytest.raises(ValueError, match="`clicks` and `conversions` must be of the same length"):
        check_funnel([1, 0], [1])
    with pytest.raises(ValueError, match="`conversions` must be 0 or 1"):
        check_funnel([1, 0], [2, 0])
