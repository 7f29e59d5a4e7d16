"""Batches out of Arrow tables and Parquet files."""

from __future__ import annotations

import numpy as np
import pytest

from noisy_labels.audits.arrow_probabilities import arrow_batches
from noisy_labels.confident_learning.confident_counts import confident_joint
from noisy_labels.confident_learning.streaming_confident_joint import ConfidentJoint

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

LABELS = np.random.default_rng(0).integers(0, 3, 200)
PROBS = np.random.default_rng(1).dirichlet(np.ones(3), 200).astype(np.float32)


def tables():
    yield "lists", pa.table({"y": LABELS, "p": pa.array(list(PROBS))}), "p"
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(PROBS.ravel()), 3)
    yield "fixed", pa.table({"y": LABELS, "p": fixed}), "p"
    columns = {f"p{column}": PROBS[:, column] for column in range(3)}
    yield "columns", pa.table({"other": LABELS * 0, "y": LABELS, **columns}), list(columns)


@pytest.mark.parametrize(
    ("table", "names"), [case[1:] for case in tables()], ids=[case[0] for case in tables()]
)
def test_tables_slices_and_files(table, names, tmp_path):
    path = tmp_path / "part.parquet"
    parquet.write_table(table, path, row_group_size=64)
    for source in (table, table.combine_chunks().to_batches()[0], path, str(tmp_path)):
        batches = arrow_batches(source, labels="y", probabilities=names, batch_rows=33)
        parts = list(batches())
        assert max(len(given) for given, _ in parts) <= 33
        np.testing.assert_array_equal(np.concatenate([given for given, _ in parts]), LABELS)
        np.testing.assert_array_equal(np.concatenate([probs for _, probs in parts]), PROBS)
        joint = ConfidentJoint().fit(batches).finalize()
        np.testing.assert_array_equal(joint, confident_joint(LABELS, PROBS))
    sliced = arrow_batches(table.slice(50, 100), labels="y", probabilities=names)
    joint = ConfidentJoint().fit(sliced).finalize()
    np.testing.assert_array_equal(joint, confident_joint(LABELS[50:150], PROBS[50:150]))


def test_bad_sources(tmp_path):
    table = pa.table({"y": [0, None], "p": [[0.5, 0.5], [0.2, 0.3, 0.5]], "q": [[0.5, None], [0.5, 0.5]]})
    with pytest.raises(ValueError, match=r"must have the columns \['z'\]"):
        arrow_batches(table, labels="y", probabilities="z")
    with pytest.raises(ValueError, match="`y` must be without nulls; got 1"):
        list(arrow_batches(table, labels="y", probabilities="p")())
    filled = table.set_column(0, "y", pa.array([0, 1]))
    for name in ("p", "q"):
        with pytest.raises(ValueError, match=f"`{name}` must be lists of the same length without nulls"):
            list(arrow_batches(filled, labels="y", probabilities=name)())
    with pytest.raises(FileNotFoundError):
        arrow_batches(tmp_path / "none.parquet", labels="y", probabilities="p")
    with pytest.raises(TypeError, match="`source` must be a path"):
        arrow_batches(3, labels="y", probabilities="p")
    path = tmp_path / "part.parquet"
    parquet.write_table(filled, path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises((pa.ArrowInvalid, OSError)):
        list(arrow_batches(path, labels="y", probabilities="p")())
