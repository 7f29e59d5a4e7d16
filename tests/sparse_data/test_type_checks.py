import re

import numpy as np
import pytest

from sparse_data.type_checks import (
    check_callable,
    check_flag,
    check_folder,
    check_layer_seed,
    check_list,
    check_names,
    check_path,
    check_seed,
    check_type,
    check_widths,
    naming,
    random_state_of,
)


def test_what_fits_is_returned(tmp_path):
    file = tmp_path / "a.txt"
    generator, state = np.random.default_rng(0), np.random.RandomState(0)
    assert check_type("x", [1], (list, tuple), "Pass a list.") == [1]
    assert check_path("path", str(file)) == file
    assert check_folder("path", tmp_path) == tmp_path
    assert check_names("columns", ["a", "b"]) == ("a", "b")
    assert check_seed("seed", np.int64(3)) == 3
    assert check_seed("seed", None) is None
    assert check_seed("seed", generator) is generator
    assert check_seed("seed", state) is state


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: check_type("x", 3, dict, "Pass one."),
            TypeError,
            "`x` must be of type dict; got int. Pass one.",
        ),
        (lambda: check_type("x", 3, (list, tuple), "Pass one."), TypeError, "of type list or tuple; got int"),
        (lambda: check_path("p", 3), TypeError, "`p` must be a path; got 3. Pass a str or a Path."),
        (lambda: check_path("p", "a\0b"), ValueError, "`p` must be a path; got 'a\\x00b' with a zero byte"),
        (lambda: check_path("p", "/"), ValueError, "`p` must be the path of a file; got the folder '/'"),
        (lambda: check_names("n", "age"), TypeError, "`n` must hold names; got 'age'"),
        (lambda: check_names("n", [1]), TypeError, "`n` must hold names; got [1]"),
        (
            lambda: check_seed("s", 0.5),
            TypeError,
            "`s` must be an integer; got 0.5. Pass an int, a Generator or None.",
        ),
        (lambda: check_seed("s", True), TypeError, "`s` must be an integer; got True"),
        (lambda: check_seed("s", -1), ValueError, "`s` must be at least 0; got -1"),
        (lambda: check_seed("s", 2**32), ValueError, "`s` must be at most 4294967295"),
    ],
)
def test_what_does_not_fit_is_named(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)


def test_flags_functions_lists_and_seeds_that_fit_are_returned():
    assert check_flag("x", np.bool_(True)) is True
    assert check_callable("f", len) is len
    assert check_list("x", (n for n in (1, 2))) == [1, 2]
    assert check_widths("units", np.array([3, 2])) == (3, 2)
    assert check_layer_seed("seed", None) is None
    assert check_layer_seed("seed", np.uint8(7)) == 7
    draws = random_state_of("seed", np.random.default_rng(0)).randint(9, size=4)
    assert draws.tolist() == random_state_of("seed", np.random.default_rng(0)).randint(9, size=4).tolist()
    assert random_state_of("seed", np.array(3)).randint(9) == np.random.RandomState(3).randint(9)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: check_flag("x", 1), TypeError, "`x` must be True or False; got 1. Pass a bool."),
        (lambda: check_callable("f", 3), TypeError, "`f` must be callable; got 3. Pass a function."),
        (lambda: check_list("x", "ab"), TypeError, "`x` must be a list; got str. Pass a list."),
        (lambda: check_list("x", {"a": 1}), TypeError, "`x` must be a list; got dict. Pass a list."),
        (lambda: check_list("x", np.array(3)), TypeError, "`x` must be a list; got ndarray. Pass a list."),
        (lambda: check_widths("units", [0]), ValueError, "`units` must be at least 1; got 0"),
        (lambda: check_widths("units", [2**40]), ValueError, "`units` must be at most 1000000"),
        (lambda: check_layer_seed("seed", 0.5), TypeError, "`seed` must be an integer; got 0.5"),
        (lambda: random_state_of("seed", "a"), TypeError, "`seed` must be an integer; got 'a'"),
    ],
)
def test_flags_functions_lists_and_seeds_that_do_not_fit_are_named(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()


@pytest.mark.parametrize(
    ("cause", "error", "message"),
    [
        (ValueError("no"), ValueError, "`x` must be numbers; no"),
        (TypeError("no"), TypeError, "`x` must be numbers; no"),
        (OverflowError("no"), ValueError, "`x` must be numbers; no"),
        (IndexError("no"), ValueError, "`x` must be numbers; no"),
        (ValueError("`y` must be 3"), ValueError, "^`y` must be 3$"),
        (OSError("disk"), OSError, "^disk$"),
    ],
)
def test_errors_of_others_are_about_an_argument(cause, error, message):
    with pytest.raises(error, match=message), naming("x", "numbers"):
        raise cause
