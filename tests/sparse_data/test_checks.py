"""Each rule: what passes comes back, what fails says the name, the rule, what was received and what to do."""

from __future__ import annotations

import numpy as np
import pytest

from sparse_data import checks


def test_one_of():
    assert checks.check_one_of("kind", "row", ("row", "column")) == "row"
    message = r"^`kind` must be one of 'row', 'column'; got 'rows'\. Choose one of these\.$"
    with pytest.raises(ValueError, match=message):
        checks.check_one_of("kind", "rows", ("row", "column"))
    with pytest.raises(ValueError, match="got True"):  # equal to 1, but not meant
        checks.check_one_of("k", True, (1, 2))


@pytest.mark.parametrize(
    ("value", "closed", "inside"),
    [
        (0, "both", True),
        (0, "left", True),
        (0, "right", False),
        (0.0, "neither", False),
        (1, "both", True),
        (1, "left", False),
        (np.float32(1), "right", True),
        (1, "neither", False),
        (0.5, "neither", True),
        (float("nan"), "both", False),
        (-0.1, "both", False),
        (1.1, "both", False),
    ],
)
def test_in_range(value, closed, inside):
    if inside:
        assert checks.check_in_range("rate", value, 0, 1, closed) == value
    else:
        with pytest.raises(ValueError, match=r"^`rate` must be in [\[(]0, 1[\])]; got "):
            checks.check_in_range("rate", value, 0, 1, closed)


def test_in_range_message():
    with pytest.raises(ValueError, match=r"in \(0, inf\); got 0\. Pass a number in that interval\.$"):
        checks.check_in_range("temperature", 0, 0, closed="neither")
    with pytest.raises(ValueError, match=r"in \(-inf, 5\]; got 6\. Take less\.$"):
        checks.check_in_range("x", 6, high=5, hint="Take less.")
    with pytest.raises(ValueError, match="got nan"):
        checks.check_in_range("x", float("nan"))
    for wrong in (True, np.True_, "1", None):
        with pytest.raises(TypeError, match="`x` must be a number"):
            checks.check_in_range("x", wrong)


def test_count():
    assert checks.check_count("k", np.int32(3)) == 3
    assert type(checks.check_count("k", np.int32(3))) is int
    assert checks.check_count("k", 0, minimum=0) == 0
    assert checks.check_count("k", 5, maximum=5) == 5
    with pytest.raises(ValueError, match=r"^`k` must be at least 1; got 0\. Pass a larger integer\.$"):
        checks.check_count("k", 0)
    with pytest.raises(ValueError, match=r"^`k` must be at most 5; got 6\. The catalogue has 5 items\.$"):
        checks.check_count("k", 6, hint="The catalogue has 5 items.", maximum=5)
    for wrong in (True, np.False_, 2.0, "2", None):
        with pytest.raises(TypeError, match="`k` must be an integer; got "):
            checks.check_count("k", wrong)


def test_finite():
    np.testing.assert_array_equal(checks.check_finite("x", [1, 2]), [1, 2])
    assert checks.check_finite("x", []).shape == (0,)
    message = r"`x` must be finite; got 2 NaN or infinite value\(s\), first at position \(0, 1\)\."
    with pytest.raises(ValueError, match=message):
        checks.check_finite("x", [[1.0, np.inf], [np.nan, 0.0]])
    with pytest.raises(TypeError, match="`x` must be numeric; got dtype <U1"):
        checks.check_finite("x", ["a"])


def test_non_negative():
    np.testing.assert_array_equal(checks.check_non_negative("w", [0.0, 2.0]), [0.0, 2.0])
    for wrong in ([0.0, -1e-9], [0.0, np.nan], [0, -1]):
        with pytest.raises(ValueError, match=r"`w` must be non-negative; got 1 .*first at position 1\."):
            checks.check_non_negative("w", wrong)


def test_shapes():
    assert checks.check_ndim("x", [[1]], 2).shape == (1, 1)
    with pytest.raises(ValueError, match=r"`x` must be 1-dimensional; got shape \(1, 1\)\."):
        checks.check_ndim("x", [[1]], 1)
    assert checks.check_same_length(a=[1, 2], b=None, c=np.zeros((2, 5))) == 2
    assert checks.check_same_length(a=None) == 0
    with pytest.raises(ValueError, match="`a` and `b` must be of the same length; got 2 and 1"):
        checks.check_same_length(a=[1, 2], b=[1])
    assert checks.check_nonempty("x", [0]).size == 1
    with pytest.raises(ValueError, match=r"`x` must be non-empty; got shape \(0,\)\."):
        checks.check_nonempty("x", [])


def test_integers():
    assert checks.check_integers("ids", np.array([1], dtype=np.int32)).dtype == np.int32
    assert checks.check_integers("ids", []).dtype == np.int64
    for wrong in ([1.0], [True], ["1"], [None], np.zeros(0, dtype=bool)):
        with pytest.raises(TypeError, match="`ids` must be of an integer dtype; got "):
            checks.check_integers("ids", wrong)


def test_ids_in_range():
    np.testing.assert_array_equal(checks.check_ids_in_range("ids", [0, 2], 3), [0, 2])
    assert checks.check_ids_in_range("ids", [], 0).size == 0
    for wrong in ([0, 3], [-1, 2]):
        with pytest.raises(ValueError, match=r"`ids` must be in \[0, 3\); got ids from "):
            checks.check_ids_in_range("ids", wrong, 3)


class _NotAvailable:
    """A missing value that, as pandas.NA, is neither true nor false when compared."""

    def __ne__(self, other):
        return self

    def __bool__(self):
        raise TypeError("ambiguous")

    __hash__ = object.__hash__


@pytest.mark.parametrize(
    "bad",
    [
        [1.0, np.nan],
        np.array(["2020-01-01", "NaT"], dtype="datetime64[D]"),
        ["a", ""],
        [b"a", b""],
        np.array(["a", None], dtype=object),
        np.array(["a", ""], dtype=object),
        np.array(["a", float("nan")], dtype=object),
        np.array([1, np.datetime64("NaT")], dtype=object),
        np.array(["a", _NotAvailable()], dtype=object),
        np.array(["a", ""], dtype=np.dtypes.StringDType()),
    ],
)
def test_missing_values_are_found(bad):
    message = r"`user_ids` must be without missing values; got 1 missing, first at position 1\. Drop or fill"
    with pytest.raises(ValueError, match=message):
        checks.check_no_missing("user_ids", bad)


@pytest.mark.parametrize(
    "good", [[1, 0], [True, False], ["a", " "], [np.inf, 0.0], [], [np.datetime64("2020")]]
)
def test_nothing_is_missing(good):
    np.testing.assert_array_equal(checks.check_no_missing("x", good), np.asarray(good))
    checks.check_no_missing("x", np.array([*good, np.zeros(2), np.zeros(2)], dtype=object))


@pytest.mark.parametrize("number", [np.uint8(3), np.float16(3), np.float32(3), 3, 3.0])
def test_numbers_in_range_are_pythons(number):
    found = checks.check_in_range("x", number, -1e100, 1e100)
    assert type(found) is (int if isinstance(number, (int, np.integer)) else float)
    assert -found == -3


def test_minus_zero_becomes_zero():
    assert str(checks.check_in_range("x", -0.0, 0)) == "0.0"


def test_numbers_whose_squares_add_up():
    assert checks.check_moderate("x", [-1e140, 1e140]).tolist() == [-1e140, 1e140]
    with pytest.raises(ValueError, match=r"`x` must be within 1e\+140 either way; got 1 .*position \(0, 1\)"):
        checks.check_moderate("x", [[1.0, -1.1e140]])
    with pytest.raises(ValueError, match="`x` must be finite"):
        checks.check_moderate("x", [np.nan])
