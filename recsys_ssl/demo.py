"""The main job on real data: compare recommenders, draw it, save the best, recommend to a few users."""

from __future__ import annotations

from pathlib import Path

import click

from recsys_ssl.baselines.ease import EASE
from recsys_ssl.baselines.ials import IALS
from recsys_ssl.baselines.popularity import Popularity
from recsys_ssl.comparison import compare_retrievers, recall_by_decile
from recsys_ssl.plots import plot_recall_by_decile, plot_training
from recsys_ssl.recommenders.recommender import Recommender
from recsys_ssl.retrieval.retriever import TwoTowerRetriever
from recsys_ssl.splits import random_split
from sparse_data import datasets
from sparse_data.datasets.download import DownloadError
from sparse_data.datasets.interactions import Interactions


def demo_data() -> tuple[str, Interactions]:
    """MovieLens 100K, or the bundled Wikipedia links where it is neither cached nor to be downloaded."""
    try:
        return "MovieLens 100K", datasets.fetch_movielens("100k")
    except DownloadError as error:
        click.echo(f"{error}\nMovieLens 100K is not at hand: the demo runs on the bundled Wikipedia links.")
        return "Wikipedia links", datasets.fetch_wikipedia_links()


def run_demo(output: str | Path, *, k: int = 100, seed: int = 42) -> None:
    """Train, compare, draw, save and recommend.

    Parameters
    ----------
    output : path
        Folder for the pictures, the table and the saved model; made when absent.
    k : int, default=100
        Length of the lists in the picture.
    seed : int, default=42
        Of the split into 80 % training and 20 % test.
    """
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    name, log = demo_data()
    train, test = random_split(log, random_state=seed)
    click.echo(f"{name}: {log}\n80 % for training, 20 % held out at random (seed {seed}).\n")
    two_tower = TwoTowerRetriever()
    models: dict[str, Recommender] = {
        "Popularity": Popularity(),
        "EASE": EASE(),
        "iALS": IALS(32, random_state=seed),
        "two-tower": two_tower,
    }
    for model in models.values():
        model.fit(train)
    table = compare_retrievers(models, train, test, k=(10, k), metrics=["recall", "ndcg"])
    click.echo(
        f"\nOver the full catalogue, seen items removed; 95 % intervals over users:\n{table.to_string()}\n"
    )
    table.to_csv(folder / "comparison.csv")
    plot_training(two_tower.history_).savefig(folder / "training.png", dpi=120)
    recalls = recall_by_decile(models, train, test, k=k)
    plot_recall_by_decile(recalls, k=k).savefig(folder / "recall_by_decile.png", dpi=120)
    two_tower.save(folder / "model")
    click.echo(recommendations_as_text(two_tower, train, two_tower.user_ids_[:3].tolist()))
    click.echo(
        f"Written to {folder}: comparison.csv, training.png, recall_by_decile.png and the model. Go on with\n"
        f"  python -m recsys_ssl recommend {folder / 'model'} {two_tower.user_ids_[0]}"
    )


def recommendations_as_text(model: Recommender, log: Interactions, users: list[int | str], k: int = 5) -> str:
    """Lines with what each user liked and what the model recommends, by title where the items have one."""
    titles = {}
    if log.items is not None and "title" in log.items:
        titles = dict(zip(list(log.items["item_id"]), list(log.items["title"]), strict=True))
    items, _ = model.recommend(users, k=k)
    lines = []
    for user, row in zip(users, items.tolist(), strict=True):
        past = log.item_ids[log.user_ids == user][:3].tolist()
        lines.append(f"User {user} liked {'; '.join(str(titles.get(item, item)) for item in past)}; ...")
        lines += [f"  {place}. {titles.get(item, item)}" for place, item in enumerate(row, start=1)]
    return "\n".join(lines) + "\n"
