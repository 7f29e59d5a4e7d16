"""The command line: fit, evaluate, compare, recommend, similar, demo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sparse_data import datasets
from sparse_data.datasets.columns import to_columns
from sparse_data.datasets.interactions import Interactions
from sparse_data.datasets.tables import read_table

NAMED_SETS = {
    "movielens-100k": lambda: datasets.fetch_movielens("100k"),
    "movielens-1m": lambda: datasets.fetch_movielens("1m"),
    "gowalla": lambda: datasets.fetch_gowalla()[0],
    "amazon-beauty": lambda: datasets.fetch_amazon("beauty"),
    "amazon-sports": lambda: datasets.fetch_amazon("sports"),
    "yelp": lambda: datasets.fetch_yelp(),
    "wikipedia-links": lambda: datasets.fetch_wikipedia_links(),
}


class _Friendly(click.Group):
    """Turn the library's errors into one line and exit code 1; a traceback helps nobody at the prompt."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (ValueError, TypeError, OSError, FloatingPointError) as error:
            raise click.ClickException(str(error)) from error


def _log_options(command: Any) -> Any:
    for option in (
        click.option("--user", default="user_id", show_default=True, help="Column with the users."),
        click.option("--item", default="item_id", show_default=True, help="Column with the items."),
        click.option("--timestamp", help="Column with the times."),
        click.option("--rating", help="Column with the ratings."),
        click.option("--weight", help="Column with the weights."),
        click.option("--users", type=click.Path(exists=True), help="Side table of the users."),
        click.option("--items", type=click.Path(exists=True), help="Side table of the items."),
        click.option("--multi-valued", multiple=True, help="Text column of a side table to split."),
        click.option("--separator", default="|", show_default=True, help="Where to split it."),
        click.option("--min-rating", type=float, help="Keep only ratings of at least this."),
    ):
        command = option(command)
    return command


@click.group(cls=_Friendly)
def cli() -> None:
    """Recommend items from a log of who chose what.

    DATA is a .csv, .tsv or .parquet file with a row an interaction, or the name of a public set:
    movielens-100k, movielens-1m, gowalla, amazon-beauty, amazon-sports, yelp, wikipedia-links.
    """


@cli.command()
@click.argument("data")
@click.option("--output", required=True, type=click.Path(), help="Folder to write the model to.")
@click.option("--dim", default=64, show_default=True)
@click.option("--epochs", default=30, show_default=True, help="At most.")
@click.option("--batch-size", default=2048, show_default=True)
@click.option("--learning-rate", default=0.005, show_default=True)
@click.option("--l2", default=0.05, show_default=True, help="Regularisation of the vectors.")
@click.option("--seed", default=0, show_default=True)
@_log_options
def fit(
    data: str,
    output: str,
    dim: int,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    l2: float,
    seed: int,
    **log: Any,
) -> None:
    """Train a two-tower retriever on DATA and save it."""
    from recsys_ssl.retrieval.retriever import TwoTowerRetriever

    model = TwoTowerRetriever(
        dim=dim, epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, l2=l2, seed=seed
    )
    model.fit(_read_log(data, **log)).save(output)
    click.echo(f"Saved to {output} after {model.best_epoch_} epochs.")


@cli.command()
@click.argument("model", type=click.Path(exists=True))
@click.argument("test")
@click.option("-k", multiple=True, type=int, default=(10, 100), show_default=True)
@_log_options
def evaluate(model: str, test: str, k: tuple[int, ...], **log: Any) -> None:
    """Measure a saved MODEL on the held-out interactions of TEST, over its full catalogue."""
    from recsys_ssl.measures.evaluation import evaluate_retriever
    from recsys_ssl.retrieval.retriever_folder import load_retriever

    retriever = load_retriever(model)
    pairs = retriever.seen_.tocoo()
    train = Interactions(retriever.user_ids_[pairs.row], retriever.item_ids_[pairs.col])
    frame = evaluate_retriever(retriever, train, _read_log(test, **log), k=k)
    click.echo(frame.to_string(index=False, float_format="{:.4f}".format))


@cli.command()
@click.argument("data")
@click.option(
    "--split", default="random", type=click.Choice(["random", "user", "last", "time"]), show_default=True
)
@click.option("-k", multiple=True, type=int, default=(10, 100), show_default=True)
@click.option("--seed", default=0, show_default=True)
@_log_options
def compare(data: str, split: str, k: tuple[int, ...], seed: int, **log: Any) -> None:
    """Hold a part of DATA out, train the two-tower retriever and the baselines, print one table."""
    from recsys_ssl import EASE, IALS, ItemKNN, Popularity, TwoTowerRetriever, splits
    from recsys_ssl.comparison import compare_retrievers

    interactions = _read_log(data, **log)
    if split in ("random", "user"):
        divide = splits.random_split if split == "random" else splits.per_user_split
        train, test = divide(interactions, random_state=seed)
    else:
        train, test = (splits.leave_last_out if split == "last" else splits.global_time_split)(interactions)
    models = {
        "Popularity": Popularity(),
        "ItemKNN": ItemKNN(),
        "EASE": EASE(),
        "iALS": IALS(random_state=seed),
        "two-tower": TwoTowerRetriever(seed=seed),
    }
    for model in models.values():
        model.fit(train)
    click.echo(compare_retrievers(models, train, test, k=k).to_string())


@cli.command()
@click.argument("model", type=click.Path(exists=True))
@click.argument("users", nargs=-1, required=True)
@click.option("-k", default=10, show_default=True)
@click.option("--with-seen", is_flag=True, help="Keep what the user has in the log.")
def recommend(model: str, users: tuple[str, ...], k: int, with_seen: bool) -> None:
    """Print the K best items for each of the USERS."""
    from recsys_ssl.retrieval.retriever_folder import load_retriever

    retriever = load_retriever(model)
    items, scores = retriever.recommend(_like(retriever.user_ids_, users), k=k, filter_seen=not with_seen)
    _print_lists(users, items, scores)


@cli.command()
@click.argument("model", type=click.Path(exists=True))
@click.argument("items", nargs=-1, required=True)
@click.option("-k", default=10, show_default=True)
def similar(model: str, items: tuple[str, ...], k: int) -> None:
    """Print the K items most similar to each of the ITEMS."""
    from recsys_ssl.retrieval.retriever_folder import load_retriever

    retriever = load_retriever(model)
    _print_lists(items, *retriever.similar_items(_like(retriever.item_ids_, items), k=k))


@cli.command()
@click.option("--output", default="demo-output", show_default=True, type=click.Path())
def demo(output: str) -> None:
    """Show the main job on MovieLens 100K, or on the bundled Wikipedia links where it is not at hand."""
    from recsys_ssl.demo import run_demo

    run_demo(output)


def _read_log(
    data: str,
    users: str | None = None,
    items: str | None = None,
    multi_valued: tuple[str, ...] = (),
    separator: str = "|",
    min_rating: float | None = None,
    **columns: Any,
) -> Interactions:
    if data in NAMED_SETS:
        log = NAMED_SETS[data]()
    elif not Path(data).exists():
        raise click.UsageError(f"DATA must be a file or one of {', '.join(NAMED_SETS)}; got {data!r}.")
    else:
        tables = {
            name: _side_table(path, multi_valued, separator)
            for name, path in (("users", users), ("items", items))
        }
        log = Interactions.read(data, **columns, **tables)
    if min_rating is None:
        return log
    if log.ratings is None:
        raise click.UsageError("--min-rating needs --rating with the column of the ratings.")
    return log.take(log.ratings >= min_rating)


def _side_table(path: str | None, multi_valued: tuple[str, ...], separator: str) -> Any:
    if path is None:
        return None
    frame = read_table(path)
    columns = to_columns(frame)
    return to_columns(
        frame, multi_valued=[name for name in multi_valued if name in columns], separator=separator
    )


def _like(vocabulary: Any, ids: tuple[str, ...]) -> list[Any]:
    """Ids of the command line as the model has them: integers or strings."""
    if vocabulary.dtype.kind == "U":
        return list(ids)
    try:
        return [int(value) for value in ids]
    except ValueError:
        raise click.UsageError(f"the model's ids are integers; got {', '.join(ids)}.") from None


def _print_lists(keys: tuple[str, ...], items: Any, scores: Any) -> None:
    for key, row, values in zip(keys, items.tolist(), scores.tolist(), strict=True):
        click.echo(key)
        for place, (item, score) in enumerate(zip(row, values, strict=True), start=1):
            click.echo(f"  {place:3d}. {item}  {score:.4f}")


if __name__ == "__main__":
    cli(prog_name="python -m recsys_ssl")
