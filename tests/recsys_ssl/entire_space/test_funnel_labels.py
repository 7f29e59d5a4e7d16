import numpy as np
import pytest

from recsys_ssl.entire_space.funnel_labels import check_funnel_labels


@pytest.mark.parametrize("dtype", ["bool", "int8", "float32"])
def test_what_a_funnel_gives_passes(dtype):
    clicks, conversions = np.array([0, 1, 1], dtype), np.array([0, 0, 1], dtype)
    check_funnel_labels(clicks, conversions, np.array([0.0, 2.0, 1.0]), actions=clicks)
    check_funnel_labels(clicks[:, None], conversions)


@pytest.mark.parametrize(
    ("clicks", "conversions", "rest", "message"),
    [
        ([0, 1], [1, 1], {}, "`conversions` must be 0 where there is no click; got 1 .*row 0"),
        ([0, 1], [0, 1], {"actions": [1, 0]}, "`actions` must be 0 where there is no click"),
        ([0, 2], [0, 0], {}, "`clicks` must be 0 or 1; got 1 other value.*2"),
        ([0.0, np.nan], [0, 0], {}, "`clicks` must be 0 or 1; got 1 other value.*nan"),
        ([1, 1], [0.5, 0], {}, "`conversions` must be 0 or 1"),
        ([1, 1], [-1, 0], {}, "`conversions` must be 0 or 1"),
        ([1, 1], [1, 0], {"sample_weight": [1.0, -1.0]}, "`sample_weight` must be non-negative"),
        ([1, 1], [1, 0], {"sample_weight": [1.0, np.nan]}, "`sample_weight` must be finite"),
        ([1, 1], [1, 0], {"sample_weight": [1.0, np.inf]}, "`sample_weight` must be finite"),
        ([1, 1], [1, 0], {"sample_weight": [0.0, 0.0]}, "`sample_weight` must hold a positive number"),
        ([1, 1], [1], {}, "must be of the same length; got 2 and 1"),
        ([1, 1], [1, 0], {"sample_weight": [1.0]}, "must be of the same length"),
        ([], [], {}, "`clicks` must be non-empty"),
        (np.ones((2, 2)), [1, 0], {}, "`clicks` must be 1-dimensional"),
    ],
)
def test_what_contradicts_itself_is_named(clicks, conversions, rest, message):
    with pytest.raises(ValueError, match=message):
        check_funnel_labels(clicks, conversions, **rest)


def test_strings_are_no_labels():
    with pytest.raises(TypeError, match="`clicks` must be numeric"):
        check_funnel_labels(["yes", "no"], [0, 0])
