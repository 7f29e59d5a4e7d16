"""The README's table and code hold."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ([^|]+) \| `([\w.]+)` \| `([\w/.]+)` \|$", README, flags=re.MULTILINE)


def test_table_is_found():
    assert len(ROWS) >= 8


@pytest.mark.parametrize(("paper", "name", "file"), ROWS)
def test_table_row(paper, name, file):
    package, _, attribute = name.rpartition(".")
    target = getattr(importlib.import_module(package), attribute)
    assert Path(inspect.getfile(inspect.unwrap(target))).relative_to(ROOT).as_posix() == file
    assert re.search(r"\d{4}", paper), "a row names the year of its paper"


def test_code_of_the_first_example_runs(tmp_path, monkeypatch):
    code = re.search(r"```python\n(.*?)```", README, flags=re.DOTALL).group(1)
    assert len(code.strip().splitlines()) <= 10
    monkeypatch.chdir(tmp_path)
    shorter = {
        "fetch_wikipedia_links()": "fetch_wikipedia_links().take(slice(None, None, 8))",
        "TwoTowerRetriever()": "TwoTowerRetriever(epochs=2, verbose=False)",
    }
    for call, short in shorter.items():
        assert call in code
        code = code.replace(call, short)
    names: dict = {}
    exec(code, names)
    assert names["items"].shape == (1, 10)
    assert (tmp_path / "model" / "manifest.json").exists()


def test_commands_are_those_of_the_command_line():
    from recsys_ssl.__main__ import cli

    used = set(re.findall(r"python -m recsys_ssl (\w+)", README))
    assert {"fit", "evaluate", "recommend", "similar"} <= used
    assert used <= set(cli.commands)
