"""Griffe extension: public names at the place they are imported from, formulas of docstrings as Markdown."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import griffe

sys.path.insert(0, str(Path(__file__).parent))
from lazy_names import PACKAGES, page_of_name, public_names

PUBLIC = page_of_name()
# The formula stands in the line of `.. math::` and in the lines below that are indented more.
FORMULA = re.compile(
    r"^(?P<indent> *)\.\. math::(?P<text>.*(?:\n(?:(?P=indent) +\S.*|[ ]*(?=\n(?P=indent) +\S)))*)", re.M
)
RULE = r" *(?P=first) +=+"
SIMPLE_TABLE = re.compile(
    rf"^(?P<indent> *)(?P<first>=+) +=+\n(?P<head>.+)\n{RULE}\n(?P<rows>(?:.+\n)+?){RULE}$", re.M
)
SEVERAL_PARAMETERS = re.compile(
    r"^(?P<names>\w+(?:, \w+)+)(?P<type> : .+)?\n(?P<text>(?:    .*\n|\n(?=    ))*)", re.M
)


class PackageNames(griffe.Extension):
    """Give `package.Name` for the names of the lazy tables, and read roles of reStructuredText."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        """Add the names of the lazy tables as aliases."""
        for package in PACKAGES:
            if package.split(".")[0] == pkg.path:
                parent = pkg if package == pkg.path else pkg[package.removeprefix(f"{pkg.path}.")]
                for name, module in public_names(package).items():
                    if module != f"{package}.{name}":
                        parent.set_member(name, griffe.Alias(name, f"{module}.{name}", parent=parent))

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Turn the reStructuredText of a docstring into Markdown."""
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text: str) -> str:
    """Return a docstring with formulas in dollars and roles as links to what they name."""
    text = SIMPLE_TABLE.sub(_table, text)
    text = SEVERAL_PARAMETERS.sub(_one_by_one, FORMULA.sub(_display, text))
    text = re.sub(r":math:`([^`]+)`", lambda found: f"${' '.join(found[1].split())}$", text)
    return re.sub(r":(?:class|func|meth|mod):`~?([^`]+)`", lambda found: linked(found[1]), text)


def linked(name: str) -> str:
    """Return a name as code, with a link where it is public."""
    anchor = PUBLIC.get(name) or (name if name in PUBLIC.values() else None)
    return f"[`{name}`][{anchor}]" if anchor else f"`{name}`"


def as_cell(text: str) -> str:
    """Return a line of a docstring as a cell of a Markdown table, which ends at a bar."""
    parts = as_markdown(text).split("$")
    return "$".join(p.replace("|", r"\vert " if i % 2 else r"\|") for i, p in enumerate(parts))


def _display(found: re.Match[str]) -> str:
    indent = found["indent"]
    lines = [line.strip() for line in found["text"].splitlines() if line.strip()]
    return "\n".join(["", f"{indent}$$", *(indent + line for line in lines), f"{indent}$$", ""])


def _one_by_one(found: re.Match[str]) -> str:
    """Give each of several parameters its own entry, so that it gets its own type and default."""
    names, kind = found["names"].split(", "), found["type"] or ""
    before, default, values = kind.partition(", default=")
    defaults = values.split(", ")
    if len(defaults) != len(names):
        defaults = [values] * len(names)
    entries = (f"{n}{before}{default}{d}\n{found['text']}" for n, d in zip(names, defaults, strict=True))
    return "".join(entries)


def _table(found: re.Match[str]) -> str:
    """Return a table of two columns as Markdown; a line without a first cell continues the one above."""
    margin = len(found["indent"])
    cut = margin + len(found["first"])
    rows: list[list[str]] = []
    for line in [found["head"], *found["rows"].splitlines()]:
        end = line.find(" ", cut)  # a first cell may be longer than the rule above it
        cells = [line[margin:end].strip(), line[end:].strip()]
        if cells[0]:
            rows.append(cells)
        else:
            rows[-1][1] += f" {cells[1]}"
    lines = [f"{found['indent']}| {first} | {as_cell(second)} |" for first, second in rows]
    return "\n".join([lines[0], f"{found['indent']}|---|---|", *lines[1:]])
