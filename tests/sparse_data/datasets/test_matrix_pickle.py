from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
import scipy.sparse
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sparse_data.datasets.matrix_pickle import load_matrix_pickle

DENSE = np.array([[0.0, 1.0, 0.0], [2.0, 0.0, 3.0]])


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("layout", ["coo_matrix", "csr_matrix", "csc_matrix", "coo_array", "csr_array"])
def test_matrices(tmp_path, layout, protocol):
    path = tmp_path / "m.pkl"
    path.write_bytes(pickle.dumps(getattr(scipy.sparse, layout)(DENSE), protocol=protocol))
    matrix = load_matrix_pickle(path)
    assert matrix.format == "csr"
    assert matrix.has_canonical_format
    np.testing.assert_array_equal(matrix.toarray(), DENSE)


def test_pickle_of_an_old_scipy(tmp_path):
    # As SciPy before 1.8 and NumPy before 2 wrote it: other modules, "row" and "col".
    state = {
        "_shape": (np.int64(2), np.int64(3)),
        "maxprint": 50,
        "row": np.array([0, 1, 1, 1], dtype=np.int32),
        "col": np.array([1, 2, 0, 2], dtype=np.int32),
        "data": np.array([1.0, 1.0, 2.0, 2.0]),
        "has_canonical_format": False,
    }
    body = pickle.dumps(state, protocol=3)
    content = b"\x80\x03cscipy.sparse.coo\ncoo_matrix\n)\x81" + body[2:-1] + b"b."
    path = tmp_path / "m.pkl"
    path.write_bytes(content.replace(b"numpy._core.", b"numpy.core."))
    np.testing.assert_array_equal(load_matrix_pickle(path).toarray(), DENSE)


class Harmful:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.mkdir, (self.command,)


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_nothing_is_run(tmp_path, protocol):
    path = tmp_path / "m.pkl"
    path.write_bytes(pickle.dumps(Harmful(str(tmp_path / "made")), protocol=protocol))
    with pytest.raises(
        ValueError, match=r"`path` must be the pickle of a sparse matrix; got the name \w+\.mkdir"
    ):
        load_matrix_pickle(path)
    assert not (tmp_path / "made").exists()


def test_nothing_is_run_from_inside_a_matrix(tmp_path):
    matrix = scipy.sparse.coo_matrix(DENSE)
    matrix.maxprint = Harmful(str(tmp_path / "made"))
    path = tmp_path / "m.pkl"
    path.write_bytes(pickle.dumps(matrix))
    with pytest.raises(ValueError, match=r"got the name \w+\.mkdir"):
        load_matrix_pickle(path)
    assert not (tmp_path / "made").exists()


def with_state(layout: str, **changes: object) -> bytes:
    matrix = getattr(scipy.sparse, f"{layout}_matrix")(DENSE)
    matrix.__dict__.update(changes)
    return pickle.dumps(matrix)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a pickle",
        pickle.dumps([1, 2]),
        pickle.dumps(DENSE),
        pickle.dumps(scipy.sparse.csr_matrix(DENSE))[:-20],
        with_state("csr", indices=np.array([1, 0, 9], dtype=np.int32)),
        with_state("csr", indptr=np.array([0, 1], dtype=np.int32)),
        with_state("csr", data=np.array(["a", "b", "c"])),
        with_state("csr", data=[1.0, 2.0, 3.0]),
        with_state("coo", _shape=(1, 1)),
        with_state("coo", _shape=(2,)),
    ],
)
def test_refused(tmp_path, content):
    (tmp_path / "m.pkl").write_bytes(content)
    with pytest.raises(ValueError, match="`path` must be the pickle of a sparse matrix"):
        load_matrix_pickle(tmp_path / "m.pkl")


@example(position=341, noise=b"\x11")  # a flag of the dtype that makes NumPy free what it does not own
@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=4))
@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_broken_bytes_raise_nothing_else(tmp_path, position, noise):
    content = bytearray(pickle.dumps(scipy.sparse.coo_matrix(DENSE), protocol=4))
    position %= len(content)
    content[position : position + len(noise)] = noise
    (tmp_path / "m.pkl").write_bytes(content)
    try:
        matrix = load_matrix_pickle(tmp_path / "m.pkl")
    except ValueError:
        return
    assert matrix.format == "csr"
