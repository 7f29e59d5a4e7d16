"""MkDocs hook: pages that are made at build time, links between them, formulas as MathML."""

from __future__ import annotations

import html
import logging
import re
from typing import Any

from docstrings import as_cell, linked
from latex2mathml.converter import convert
from lazy_names import MODULES, PACKAGES, ROOT, public_names, summary
from mkdocs.structure.files import File, Files

log = logging.getLogger("mkdocs.hooks.pages")
REPETITIONS = {"ops_numba", "ops_keras", "ops_torch"}  # the functions of ops_numpy once more
RUN_IN_HEADING = re.compile(r"^\*\*([^*\n]+?)(?:\.|(?<=\?))\*\*\s+", re.M)  # "**The problem.** A log"
UNREAD = re.compile(r"\$\$|:math:|:class:|:func:|:meth:|\.\. math::")
# What the converter does not know, or draws with a sign that few fonts have.
TEX = {r"\arg\m": r"\mathrm{arg}\,\m", r"\setminus": r"\backslash ", r"\_": "_"}
FORMULA = re.compile(r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<tex>.*?)\\[)\]]</(?P=tag)>', re.S)


def on_files(files: Files, config: Any) -> Files:
    """Add the reference and the results."""
    pages = {f"reference/{package}.md": reference_page(package) for package in PACKAGES}
    pages["reference/modules.md"] = modules_page()
    pages["results.md"] = (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **kwargs: Any) -> str:
    """Point links to files beside `docs` to their pages; link the public names that a page mentions."""
    markdown = markdown.replace("](../benchmarks/RESULTS.md", "](results.md")
    markdown = RUN_IN_HEADING.sub(r"## \1\n\n", markdown)
    if page.file.src_uri.startswith("reference/"):
        return markdown
    blocks = re.split(r"(^```.*?^```$)", markdown, flags=re.S | re.M)
    return "".join(block if block.startswith("```") else _with_links(block) for block in blocks)


def on_page_content(content: str, page: Any, **kwargs: Any) -> str:
    """Turn formulas into MathML, which browsers draw without a script."""
    content = FORMULA.sub(_mathml, content)
    if left := UNREAD.findall(_without_code(content)):
        log.warning("%s holds %s: a formula or role that was not read", page.file.src_uri, set(left))
    return content


def reference_page(package: str) -> str:
    """Return the page of a package: a table of its names, and each with its docstring."""
    names = {n: m for n, m in public_names(package).items() if n != "datasets"}
    rows = [f"| [`{name}`][{package}.{name}] | {as_cell(summary(name, names[name]))} |" for name in names]
    parts = [f"# {package}", summary(package.split(".")[-1], package)]
    parts += ["\n".join(["| name | what it is |", "|---|---|", *rows])]
    for name in names:
        parts.append(f"::: {package}.{name}")
        if name in REPETITIONS:
            parts[-1] += "\n    options:\n      members: false"
    return "\n\n".join(parts) + "\n"


def modules_page() -> str:
    """Return the page of modules that are imported by their own names, unless a package shows theirs."""
    shown = {module for package in PACKAGES for module in public_names(package).values()}
    parts = [
        "# Modules",
        "What is imported from a module of its own, `from recsys_ssl.splits import random_split`.",
    ]
    return "\n\n".join([*parts, *(f"::: {module}" for module in MODULES if module not in shown)]) + "\n"


def _with_links(markdown: str) -> str:
    lines = markdown.split("\n")
    return "\n".join(
        line
        if line.startswith("#")
        else re.sub(r"(?<![\[`])`([A-Za-z_][\w.]*)`(?![\]`])", lambda m: linked(m[1]), line)
        for line in lines
    )


def _mathml(found: re.Match[str]) -> str:
    tex = html.unescape(found["tex"]).strip()
    for written, read in TEX.items():
        tex = tex.replace(written, read)
    if found["tag"] == "span":
        return str(convert(tex))
    return f'<div class="formula">{convert(tex, display="block")}</div>'


def _without_code(page: str) -> str:
    return re.sub(r"<(code|pre|math)\b.*?</\1>", "", page, flags=re.S)
