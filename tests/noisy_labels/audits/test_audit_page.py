"""The page and the files of an audit: whole, self-contained, and safe from what the data hold."""

from __future__ import annotations

import base64
import csv
import json
from html.parser import HTMLParser

import numpy as np
import pytest

from noisy_labels.audits.audit_files import audit_summary, write_audit
from noisy_labels.audits.audit_page import audit_page
from noisy_labels.audits.audit_pictures import plot_quality, plot_transition
from noisy_labels.audits.benchmark_curves import benchmark_stability
from noisy_labels.audits.label_audit import audit_labels

HOSTILE = ["<script>alert(1)</script>", "a\"b'c&d", "$\\frac{"]


class Page(HTMLParser):
    """Collects the cells of tables, the addresses of images and scripts, and the counts."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.addresses, self.scripts, self.qualities = [], [], [], []
        self._inside = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.addresses += [values[name] for name in ("src", "href") if name in values]
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
            if "data-quality" in values:
                self.qualities.append(float(values["data-quality"]))
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag == "script":
            self.scripts.append("")
        self._inside = tag

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        if self._inside in ("td", "th"):
            self.tables[-1][-1][-1] += data
        elif self._inside == "script":
            self.scripts[-1] += data


@pytest.fixture(scope="module")
def audit():
    rng = np.random.default_rng(0)
    true = rng.integers(0, 3, 200)
    probs = rng.dirichlet(np.ones(3), 200) * 0.4
    probs[np.arange(200), true] += 0.6
    labels = np.where(rng.random(200) < 0.15, (true + 1) % 3, true)
    names = np.array(HOSTILE)
    return audit_labels(names[labels], probs, classes=names, ids=np.arange(200) + 1_000)


@pytest.fixture(scope="module")
def page(audit):
    texts = [f"</script><b>text {row}" for row in range(200)]
    return Page(audit_page(audit, title="A & <B>", texts=texts, n_worst=5))


def test_data_are_escaped_and_shown(audit, page):
    assert len(page.scripts) == 2
    classes, pairs, issues, overlap = page.tables
    assert {row[0] for row in classes[1:]} == set(HOSTILE)
    assert len(pairs) - 1 == len(audit.by_pair()["n_flagged"])
    assert len(issues) - 1 == 5
    first = audit.rows[0]
    assert issues[1][0] == str(1_000 + first)
    assert issues[1][1] == audit.classes[audit.labels[first]]
    assert issues[1][-1] == f"</script><b>text {first}"
    assert page.qualities == pytest.approx(audit.scores["normalized_margin"][audit.rows[:5]], abs=1e-6)
    assert len(overlap) == 4


def test_page_needs_no_network(page):
    assert len(page.addresses) == 2
    for address in page.addresses:
        kind, _, content = address.partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(content).startswith(b"\x89PNG")
    assert "http" not in page.scripts[1]


def test_counts_of_the_slider(audit, page):
    counts = json.loads(page.scripts[0])
    quality = np.round(audit.scores["normalized_margin"], 6)
    for step in (0, 17, 50, 100):
        assert counts["all"][step] == (quality <= step / 100).sum()
        assert counts["flagged"][step] == (quality[audit.flagged] <= step / 100).sum()


def test_same_audit_same_page(audit):
    assert audit_page(audit) == audit_page(audit)


def test_stability_of_a_benchmark_is_shown(audit):
    right = np.array([0, 1] * 20)
    given = np.where(np.arange(40) < 4, 1 - right, right)
    models = {"<learned>": given, "honest": np.where(np.arange(40) > 36, 1 - right, right)}
    stability = benchmark_stability(models, given, right)
    shown = Page(audit_page(audit, stability=stability))
    assert len(shown.addresses) == 3
    (flip,) = stability.flips
    assert shown.tables[4][1] == ["<learned>", "honest", f"{flip[2]:.3f}"]
    never = benchmark_stability({"only": given}, given, right)
    assert len(Page(audit_page(audit, stability=never)).tables[4]) == 1


def test_long_texts_are_cut(audit):
    shown = Page(audit_page(audit, texts=["x" * 1000] * 200, n_worst=1)).tables[2][1][-1]
    assert shown == "x" * 299 + "…"


def test_pictures_of_the_numbers(audit):
    axes = plot_transition(audit).axes[0]
    texts = [text.get_text() for text in axes.texts]
    assert texts == [f"{100 * value:.1f}" for value in audit.transition.ravel()]
    histogram = plot_quality(audit).axes[0]
    red = [bar.get_height() for bar in histogram.patches[50:]]
    assert sum(red) == audit.flagged.sum()


def test_many_classes_and_none_flagged():
    probs = np.full((60, 60), 0.3 / 59)
    np.fill_diagonal(probs, 0.7)
    many = audit_labels(np.arange(60), probs)
    assert len(plot_transition(many).axes[0].texts) == 0
    page = Page(audit_page(many))
    assert len(page.tables[2]) == 1
    assert len(page.tables[0]) == 61


def test_files(audit, tmp_path):
    paths = write_audit(audit, tmp_path / "new" / "folder")
    assert [path.name for path in paths] == ["label_audit.html", "label_issues.csv", "label_audit.json"]
    with paths[1].open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["row"]) for row in rows] == audit.rows.tolist()
    assert [row["given_label"] for row in rows] == audit.issues()["given_label"].tolist()
    assert [float(row["self_confidence"]) for row in rows] == audit.issues()["self_confidence"].tolist()
    told = json.loads(paths[2].read_text())
    assert told == audit_summary(audit)
    assert told["n_expected"] == audit.count._asdict()
    assert np.array(told["joint"]).sum() == 200


def test_nothing_is_written_after_bad_arguments(audit, tmp_path):
    with pytest.raises(ValueError, match="`labels` and `texts` must be of the same length"):
        write_audit(audit, tmp_path / "a", texts=["one"])
    with pytest.raises(ValueError, match="`n_worst` must be at least 1"):
        write_audit(audit, tmp_path / "a", n_worst=0)
    assert not (tmp_path / "a").exists()
