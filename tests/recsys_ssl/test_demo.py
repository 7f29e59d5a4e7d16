"""The demo on the bundled data, as on a machine without network and cache."""

from __future__ import annotations

import json

import pytest

from recsys_ssl import TwoTowerRetriever, demo, load_retriever
from sparse_data import datasets
from sparse_data.datasets.download import DownloadError


def test_demo_without_movielens_says_so_and_writes_everything(tmp_path, monkeypatch, capsys):
    def unreachable(name):
        raise DownloadError("could not download ml-100k.zip")

    links = datasets.fetch_wikipedia_links()
    monkeypatch.setattr(datasets, "fetch_movielens", unreachable)
    monkeypatch.setattr(datasets, "fetch_wikipedia_links", lambda: links.take(links.user_ids % 8 == 0))
    monkeypatch.setattr(demo, "TwoTowerRetriever", lambda: TwoTowerRetriever(8, epochs=2, verbose=False))
    demo.run_demo(tmp_path / "out", k=20)
    printed = capsys.readouterr().out
    assert "could not download" in printed
    assert "Wikipedia links" in printed
    for word in ("EASE", "iALS", "two-tower", "head", "tail", "User "):
        assert word in printed
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"comparison.csv", "training.png", "recall_by_decile.png", "model"}
    manifest = json.loads((tmp_path / "out" / "model" / "manifest.json").read_text())
    assert manifest["kind"] == "two-tower retriever"
    assert load_retriever(tmp_path / "out" / "model").best_epoch_ >= 1


def test_recommendations_name_titles():
    log = datasets.Interactions(
        [1, 1, 2], [7, 8, 7], items={"item_id": [7, 8, 9], "title": ["Up", "Brazil", "Heat"]}
    )
    model = TwoTowerRetriever(4, epochs=1, verbose=False).fit(log)
    text = demo.recommendations_as_text(model, log, [1], k=1)
    assert "User 1 liked Up; Brazil" in text
    assert "1. Heat" in text


@pytest.mark.parametrize("reachable", [True, False])
def test_demo_data_prefers_movielens(reachable, monkeypatch):
    def fetch(name):
        if not reachable:
            raise DownloadError("offline")
        return "films"

    monkeypatch.setattr(datasets, "fetch_movielens", fetch)
    name, log = demo.demo_data()
    assert (name, log == "films") == (("MovieLens 100K", True) if reachable else ("Wikipedia links", False))
