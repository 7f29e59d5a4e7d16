"""The command line on a user's own file, each command a call of its own as in a new process."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from recsys_ssl.__main__ import cli
from sparse_data import datasets


@pytest.fixture(scope="module")
def log_file(tmp_path_factory):
    # Even users like even items; the right recommendation of user i is item i.

    log = datasets.make_checkerboard(20)
    file = tmp_path_factory.mktemp("log") / "log.csv"
    lines = [f"u{user},{item}" for user, item in zip(log.user_ids, log.item_ids, strict=True)]
    file.write_text("\n".join(["person,thing", *lines]) + "\n")
    return file


@pytest.fixture(scope="module")
def model(log_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    options = [
        "--user",
        "person",
        "--item",
        "thing",
        "--dim",
        "8",
        "--epochs",
        "40",
        "--learning-rate",
        "0.02",
    ]
    done = CliRunner().invoke(cli, ["fit", str(log_file), "--output", str(folder), *options])
    assert done.exit_code == 0, done.output
    assert "Saved to" in done.output
    return str(folder)


def test_recommend_finds_the_withheld_items(model):
    done = CliRunner().invoke(cli, ["recommend", model, "u4", "u7", "-k", "1"])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0] == "u4"
    assert lines[1].split()[:2] == ["1.", "4"]
    assert lines[3].split()[:2] == ["1.", "7"]


def test_similar_items_have_the_same_colour(model):
    done = CliRunner().invoke(cli, ["similar", model, "6", "-k", "5"])
    assert done.exit_code == 0, done.output
    assert all(int(line.split()[1]) % 2 == 0 for line in done.output.splitlines()[1:])


def test_evaluate_prints_perfect_recall_of_the_diagonal(model, tmp_path):
    test = tmp_path / "test.csv"
    test.write_text("person,thing\n" + "\n".join(f"u{i},{i}" for i in range(20)))
    done = CliRunner().invoke(
        cli, ["evaluate", model, str(test), "-k", "1", "--user", "person", "--item", "thing"]
    )
    assert done.exit_code == 0, done.output
    row = next(line.split() for line in done.output.splitlines() if line.split()[:2] == ["all", "recall"])
    assert float(row[3]) == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "no-such-file.csv", "--output", "x"], "DATA must be a file or one of movielens-100k"),
        (["recommend", "MODEL", "u1", "-k", "99"], "`k` must be at most"),
        (["recommend", "MODEL", "u1", "-k", "0"], "`k` must be"),
        (["similar", "MODEL", "six"], "the model's ids are integers; got six"),
        (["similar", "MODEL", "600"], "`item_ids` must be ids that the model knows; got 600"),
        (["fit", "LOG", "--output", "x"], "`user` must name a column of the table; got 'user_id'"),
        (
            ["fit", "LOG", "--output", "x", "--user", "person", "--item", "thing", "--min-rating", "4"],
            "--rating",
        ),
    ],
)
def test_errors_are_one_line(arguments, message, model, log_file):
    places = {"MODEL": model, "LOG": str(log_file)}
    done = CliRunner().invoke(cli, [places.get(argument, argument) for argument in arguments])
    assert done.exit_code in (1, 2)
    assert message in done.output
    assert "Traceback" not in done.output


def test_side_table_ratings_and_parquet(tmp_path):
    pandas = pytest.importorskip("pandas")
    generator = np.random.default_rng(0)
    users, items = np.divmod(generator.choice(30 * 20, 240, replace=False), 20)
    ratings = generator.integers(1, 6, 240)
    pandas.DataFrame({"user_id": users, "item_id": items, "stars": ratings}).to_parquet(
        tmp_path / "log.parquet"
    )
    table = {"item_id": range(20), "genres": ["war|drama" if item % 2 else "comedy" for item in range(20)]}
    pandas.DataFrame(table).to_csv(tmp_path / "items.csv", index=False)
    arguments = ["fit", str(tmp_path / "log.parquet"), "--output", str(tmp_path / "model"), "--epochs", "1"]
    arguments += ["--items", str(tmp_path / "items.csv"), "--multi-valued", "genres"]
    arguments += ["--rating", "stars", "--min-rating", "4"]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    from recsys_ssl import load_retriever

    model = load_retriever(tmp_path / "model")
    assert model.seen_.nnz == (ratings >= 4).sum()
    assert model.item_encoder_.encoder.vocabularies_["genres"].tolist() == ["comedy", "drama", "war"]
