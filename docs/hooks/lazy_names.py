"""Public names of the packages, read from the tables in their `__init__` files: nothing is imported."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("recsys_ssl", "noisy_labels", "graph", "sparse_data", "sparse_data.datasets")
# Modules whose functions belong to no package's table: they are imported from the module itself.
MODULES = (
    "recsys_ssl.splits",
    "recsys_ssl.comparison",
    "recsys_ssl.plots",
    "recsys_ssl.tfrs.sampled_softmax_task",
    "recsys_ssl.tfrs.serving",
    "noisy_labels.audits.audit_pictures",
    "graph.ticket_search",
)
TABLES = {"_MODULES", "_MODULE_OF_NAME", "_FILE_OF"}


def public_names(package: str) -> dict[str, str]:
    """Map each public name of a package to the module that holds it, or that it is."""
    for node in _parsed(package).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            if node.targets[0].id not in TABLES:
                continue
            table = ast.literal_eval(node.value)
            top = package.split(".")[0]
            return {n: m if m.split(".")[0] == top else f"{package}.{m}" for n, m in table.items()}
    raise ValueError(f"{package} has none of the tables {sorted(TABLES)}")


def summary(name: str, module: str) -> str:
    """Return the first line of the docstring of a name in a module, or of the module if it is the name."""
    tree = _parsed(module)
    if module.split(".")[-1] == name:
        return _first_line(tree)
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return _first_line(node)
    raise ValueError(f"{module} defines no class or function {name!r}")


def page_of_name() -> dict[str, str]:
    """Map public names that one package alone has to their full name, which is their anchor."""
    full: dict[str, str | None] = {}
    for package in PACKAGES:
        for name, module in public_names(package).items():
            if module != f"{package}.{name}":
                full[name] = None if name in full else f"{package}.{name}"
    return {name: anchor for name, anchor in full.items() if anchor}


def _parsed(module: str) -> ast.Module:
    stem = ROOT.joinpath(*module.split("."))
    file = stem / "__init__.py" if stem.is_dir() else stem.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8"))


def _first_line(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> str:
    docstring = ast.get_docstring(node)
    return docstring.splitlines()[0] if docstring else ""
