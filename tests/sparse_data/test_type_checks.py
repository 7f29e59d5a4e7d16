import numpy as np
import pytest

from sparse_data.type_checks import check_folder, check_names, check_path, check_seed, check_type


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
