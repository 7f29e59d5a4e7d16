"""Labels and probabilities from files, and the command that audits them."""

from __future__ import annotations

import csv

import numpy as np
import pandas as pd
import pytest

from noisy_labels.__main__ import main
from noisy_labels.audits.label_files import read_label_files
from noisy_labels.confident_learning.label_issues import find_label_issues

NAMES = np.array(["cat", "dog", "eel"])


@pytest.fixture
def case(tmp_path):
    rng = np.random.default_rng(0)
    true = rng.integers(0, 3, 90)
    probs = rng.dirichlet(np.ones(3), 90) * 0.4
    probs[np.arange(90), true] += 0.6
    labels = np.where(rng.random(90) < 0.1, (true + 1) % 3, true)
    np.save(tmp_path / "labels.npy", labels)
    np.save(tmp_path / "names.npy", NAMES[labels])
    np.save(tmp_path / "probs.npy", probs)
    texts = [f"line {row}, with a comma" for row in range(90)]
    frame = pd.DataFrame({"label": NAMES[labels], "key": [f"k{row}" for row in range(90)], "text": texts})
    frame.to_csv(tmp_path / "labels.csv", index=False)
    table = pd.DataFrame(probs[:, [2, 0, 1]], columns=NAMES[[2, 0, 1]])
    table.to_csv(tmp_path / "probs.csv", index=False)
    pd.concat([frame, table], axis=1).to_parquet(tmp_path / "all.parquet")
    pd.DataFrame({"p": list(probs)}).to_parquet(tmp_path / "lists.parquet")
    return tmp_path, labels, probs


def same(files, labels, probs):
    """Say whether files hold these labels and probabilities, in whatever order of classes."""
    order = [files.classes.tolist().index(name) for name in NAMES]
    return (files.labels == NAMES[labels]).all() and np.allclose(files.pred_probs[:, order], probs)


def test_arrays(case):
    folder, labels, probs = case
    files = read_label_files(folder / "labels.npy", folder / "probs.npy")
    assert isinstance(files.pred_probs.base, np.memmap) or isinstance(files.pred_probs, np.memmap)
    np.testing.assert_array_equal(files.labels, labels)
    np.testing.assert_array_equal(files.pred_probs, probs)
    assert files.classes.tolist() == [0, 1, 2]
    assert files.ids is None
    # Names sort as the columns do.
    assert same(read_label_files(folder / "names.npy", folder / "probs.npy"), labels, probs)
    assert read_label_files(
        folder / "names.npy", folder / "probs.npy", classes=["eel", "cat", "dog"]
    ).classes.tolist() == ["eel", "cat", "dog"]


def test_tables(case):
    folder, labels, probs = case
    files = read_label_files(folder / "labels.csv", folder / "probs.csv", id_column="key", text_column="text")
    assert same(files, labels, probs)
    assert files.ids.tolist() == [f"k{row}" for row in range(90)]
    assert files.texts[4] == "line 4, with a comma"
    one = read_label_files(
        folder / "all.parquet", folder / "all.parquet", probability_columns=["dog", "cat", "eel"]
    )
    assert same(one, labels, probs)
    assert same(read_label_files(folder / "labels.csv", folder / "lists.parquet"), labels, probs)


def test_numbers_beside_named_columns(case):
    folder, labels, _ = case
    files = read_label_files(folder / "labels.npy", folder / "probs.csv")
    np.testing.assert_array_equal(files.labels, labels)
    assert files.classes.tolist() == [0, 1, 2]
    pd.DataFrame({"y": labels}).to_csv(folder / "single.csv", index=False)
    assert read_label_files(folder / "single.csv", folder / "probs.npy").labels.tolist() == labels.tolist()


def test_bad_files(case):
    folder, labels, probs = case
    np.save(folder / "short.npy", probs[:5])
    (folder / "torn.npy").write_bytes((folder / "probs.npy").read_bytes()[:300])
    pd.DataFrame({"label": ["cat", None] * 45}).to_csv(folder / "holes.csv", index=False)
    np.save(folder / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    for first, second, error, message in [
        ("labels.npy", "short.npy", ValueError, "must be of the same length; got 90 and 5"),
        ("labels.npy", "torn.npy", ValueError, "must be a whole .npy file"),
        ("objects.npy", "probs.npy", ValueError, "must be a whole .npy file of numbers or text"),
        ("holes.csv", "probs.npy", ValueError, "`labels` must be without missing values; got 45"),
        ("labels.npy", "none.npy", FileNotFoundError, "none.npy"),
        ("labels.npy", "labels.npy", ValueError, "`pred_probs` must be 2-dimensional"),
        ("labels.csv", "all.parquet", TypeError, "columns of numbers; got text in .'label', 'key', 'text'"),
    ]:
        with pytest.raises(error, match=message):
            read_label_files(folder / first, folder / second)
    with pytest.raises(ValueError, match=r"must have the column 'y'; got .'label', 'key', 'text'"):
        read_label_files(folder / "labels.csv", folder / "probs.csv", label_column="y")
    with pytest.raises(ValueError, match="must be a table where columns of ids"):
        read_label_files(folder / "labels.npy", folder / "probs.npy", id_column="key")
    np.save(folder / "four.npy", np.full((90, 4), 0.25))
    with pytest.raises(ValueError, match="`classes` must be named where 3 different labels meet 4 columns"):
        read_label_files(folder / "names.npy", folder / "four.npy")
    pd.DataFrame({"p": [[0.5, 0.5], [1.0]]}).to_parquet(folder / "ragged.parquet")
    np.save(folder / "two.npy", labels[:2])
    with pytest.raises(ValueError, match="lists of one length in 'p'; got 1 to 2"):
        read_label_files(folder / "two.npy", folder / "ragged.parquet")


def test_command(case, capsys):
    folder, labels, probs = case
    output = folder / "report"
    arguments = ["audit", str(folder / "labels.csv"), str(folder / "probs.csv"), "--output", str(output)]
    assert main([*arguments, "--id-column", "key", "--text-column", "text", "--method", "cleanlab"]) == 0
    told = capsys.readouterr().out
    flagged = find_label_issues(labels, probs, method="cleanlab")
    assert "of 90 labels are expected to be wrong" in told
    assert f"{flagged.sum()} are flagged" in told
    with (output / "label_issues.csv").open(newline="") as file:
        ids = [row["id"] for row in csv.DictReader(file)]
    assert sorted(ids) == sorted(f"k{row}" for row in np.flatnonzero(flagged))
    assert "with a comma" in (output / "label_audit.html").read_text()


def test_command_tells_errors_and_warnings_in_a_line(case, capsys):
    folder, _, probs = case
    assert main(["audit", str(folder / "labels.npy"), str(folder / "none.npy")]) == 1
    assert capsys.readouterr().err.startswith("Error: ")
    np.save(folder / "off.npy", probs * 1.0005)
    output = ["--output", str(folder / "report")]
    assert main(["audit", str(folder / "labels.npy"), str(folder / "off.npy"), *output]) == 0
    warned = capsys.readouterr().err
    assert warned.startswith("Warning: `pred_probs` has rows whose sum differs from 1")
    assert warned.count("\n") == 1
    with pytest.raises(SystemExit):
        main(["audit"])
