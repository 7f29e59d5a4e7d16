"""Evaluation over the full catalogue: all metrics, by slices of items, with intervals."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from sklearn.utils.validation import check_is_fitted

from recsys_ssl.embeddings.id_lookup import UNKNOWN, as_ids, lookup
from recsys_ssl.measures.popularity_slices import popularity_slices
from recsys_ssl.measures.ranking_accumulator import Estimate, RankingAccumulator
from recsys_ssl.recommenders.recommender import Recommender, as_interactions
from sparse_data import checks
from sparse_data.type_checks import check_flag, check_type

Slices = str | None | Mapping[str, ArrayLike]


def evaluate_retriever(
    model: Recommender,
    train: Any,
    test: Any,
    k: int | Sequence[int] = (10, 50, 100),
    slices: Slices = "popularity",
    *,
    filter_seen: bool = True,
    n_bootstrap: int = 500,
    confidence: float = 0.95,
    random_state: int | np.random.Generator | None = 0,
) -> Any:
    """Rank the full catalogue for every user of `test` and measure where the held-out items come.

    Parameters
    ----------
    model : Recommender
        Fitted.
    train, test : Interactions or data frames
        The log before and after the split.  Pairs count once, however often they occur.
    k : int or sequence of int
        List lengths.
    slices : "popularity", None or mapping of str to item ids, default="popularity"
        Measure also on parts of the items: by training frequency as in `popularity_slices` (head, mid,
        tail, unseen), or your own.  In a slice only its items are relevant, the ranking stays the same.
    filter_seen : bool, default=True
        Leave the training items of a user out of the ranking.  Test pairs that are in `train` too can then
        not be found, and are left out of the count.
    n_bootstrap : int, default=500
        Resamples of the users for the intervals; 0 for none.
    confidence : float in (0, 1), default=0.95
    random_state : int, Generator or None, default=0

    Returns
    -------
    pandas.DataFrame
        Columns slice, metric, k, value, low, high, n_users, n_interactions.  Metrics: recall, ndcg, map,
        mrr, hit and precision are means over users; hit_rate_per_interaction is the mean over held-out
        interactions of "is it in the first k" (what TensorFlow Recommenders calls top-k accuracy);
        coverage and gini are of the lists and have no interval.  `attrs` counts the test pairs of users
        and of items unknown to the model, which are misses, and those left out since seen.

    Raises
    ------
    ValueError
        If `test` is empty or a k is larger than the catalogue.
    """
    check_type("model", model, Recommender, "Pass a fitted one.")
    check_is_fitted(model)
    task = _Task.build(model.item_ids_, train, test, k, slices, filter_seen=filter_seen)
    rows = lookup("test", task.user_ids, model.user_ids_)
    known = np.flatnonzero(rows != UNKNOWN)
    columns = np.full((rows.size, task.k[-1]), UNKNOWN, dtype=np.int64)
    seen = task.seen if filter_seen else None
    ranked, _ = model._rank(task.user_ids[known], rows[known], task.k[-1], seen=seen, seen_rows=known)
    columns[known] = ranked
    return task.report(columns, rows == UNKNOWN, n_bootstrap, confidence, random_state)


def evaluate_rankings(
    user_ids: ArrayLike,
    item_ids: ArrayLike,
    train: Any,
    test: Any,
    k: int | Sequence[int] = (10, 50, 100),
    slices: Slices = "popularity",
    *,
    catalogue: ArrayLike | None = None,
    filter_seen: bool = True,
    n_bootstrap: int = 500,
    confidence: float = 0.95,
    random_state: int | np.random.Generator | None = 0,
) -> Any:
    """Measure ranked lists that any other library made; see `evaluate_retriever` for the rest.

    Parameters
    ----------
    user_ids : array of shape (n_users,)
        Distinct.  Users of `test` that are not among them have an empty list.
    item_ids : array of shape (n_users, n_ranked)
        Their items, best first, at least max(k) of them.  Ids outside the catalogue are no hits.
    train, test, k, slices, n_bootstrap, confidence, random_state
        As in `evaluate_retriever`.
    catalogue : array of item ids, optional
        All items that could have been ranked; by default those of `train`.
    filter_seen : bool, default=True
        Leave test pairs that are in `train` out of the count.

    Returns
    -------
    pandas.DataFrame
        As `evaluate_retriever`.

    Examples
    --------
    >>> train = {"user_id": ["u", "v"], "item_id": ["a", "b"]}
    >>> test = {"user_id": ["u", "v"], "item_id": ["b", "c"]}
    >>> frame = evaluate_rankings(["u", "v"], [["b"], ["a"]], train, test, k=1, slices=None, n_bootstrap=0)
    >>> frame.loc[frame.metric == "recall", "value"].tolist()
    [0.5]
    """
    train = as_interactions(train)
    items = as_ids("catalogue", train.item_ids if catalogue is None else catalogue)
    task = _Task.build(np.unique(items), train, test, k, slices, filter_seen=filter_seen)
    ranked = checks.check_ndim("item_ids", item_ids, 2)
    users = as_ids("user_ids", user_ids)
    checks.check_same_length(user_ids=users, item_ids=ranked)
    checks.check_in_range("k", task.k[-1], 1, ranked.shape[1], hint="Pass longer lists.")
    given, first = np.unique(users, return_index=True)
    if given.size < users.size:
        raise ValueError("`user_ids` must be distinct; got duplicates. Pass one list a user.")
    place = lookup("user_ids", task.user_ids, given)
    columns = np.full((place.size, task.k[-1]), UNKNOWN, dtype=np.int64)
    flat = lookup("item_ids", as_ids("item_ids", ranked.ravel()), task.item_ids[: task.n_items])
    known = place != UNKNOWN
    columns[known] = flat.reshape(ranked.shape)[first[place[known]], : task.k[-1]]
    return task.report(columns, ~known, n_bootstrap, confidence, random_state)


@dataclass(frozen=True)
class _Task:
    """The held-out pairs as rows and columns.

    Rows are the users of the test log, sorted; columns are the catalogue, sorted, and behind it the test
    items that the model cannot rank.
    """

    user_ids: NDArray[Any]
    item_ids: NDArray[Any]
    n_items: int
    users: NDArray[np.int64]
    items: NDArray[np.int64]
    seen: csr_array
    slices: dict[str, NDArray[np.bool_]]
    k: list[int]
    n_dropped: int

    @classmethod
    def build(
        cls,
        catalogue: NDArray[Any],
        train: Any,
        test: Any,
        k: int | Sequence[int],
        slices: Slices,
        *,
        filter_seen: bool,
    ) -> _Task:
        check_flag("filter_seen", filter_seen)
        train, test = as_interactions(train), as_interactions(test)
        checks.check_nonempty("test", test.user_ids)
        lengths = _lengths(k)
        checks.check_in_range("k", lengths[-1], 1, catalogue.size, hint="The catalogue has no more items.")
        user_ids, users = np.unique(test.user_ids, return_inverse=True)
        item_ids, items = _extended(catalogue, test.item_ids)
        held_out = _pairs(users, items, (user_ids.size, item_ids.size))
        train_items = train.item_ids
        seen_users = lookup("train", train.user_ids, user_ids)
        seen_items = lookup("train", train_items, catalogue)
        inside = (seen_users != UNKNOWN) & (seen_items != UNKNOWN)
        seen = _pairs(seen_users[inside], seen_items[inside], (user_ids.size, catalogue.size))
        n_dropped = 0
        if filter_seen:
            wider = csr_array((seen.data, seen.indices, seen.indptr), shape=held_out.shape)
            n_dropped = held_out.multiply(wider).nnz
            held_out = (held_out > wider) if n_dropped else held_out
        users, items = held_out.tocoo().coords
        masks = _slice_masks(slices, item_ids, train_items)
        return cls(
            user_ids=user_ids,
            item_ids=item_ids,
            n_items=catalogue.size,
            users=users.astype(np.int64),
            items=items.astype(np.int64),
            seen=seen,
            slices=masks,
            k=lengths,
            n_dropped=n_dropped,
        )

    def report(
        self,
        columns: NDArray[np.int64],
        unknown_users: NDArray[np.bool_],
        n_bootstrap: int,
        confidence: float,
        random_state: int | np.random.Generator | None,
    ) -> Any:
        pandas = _pandas()
        accumulator = RankingAccumulator(self.slices, self.k, n_items=self.n_items)
        accumulator.update(columns, self.users, self.items)
        lines = accumulator.estimates(
            n_bootstrap=n_bootstrap, confidence=confidence, random_state=random_state
        )
        frame = pandas.DataFrame(lines, columns=Estimate._fields)
        frame.attrs.update(
            n_pairs_of_unknown_users=int(unknown_users[self.users].sum()),
            n_pairs_of_unknown_items=int((self.items >= self.n_items).sum()),
            n_pairs_left_out_as_seen=self.n_dropped,
        )
        return frame


def _lengths(k: int | Sequence[int]) -> list[int]:
    values = k if isinstance(k, Iterable) and not (isinstance(k, np.ndarray) and k.ndim == 0) else [k]
    lengths = sorted({checks.check_count("k", value) for value in values})
    checks.check_nonempty("k", lengths)
    return lengths


def _extended(catalogue: NDArray[Any], item_ids: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the catalogue with the other items behind it, and the column of each of `item_ids`."""
    columns = lookup("test", item_ids, catalogue)
    others, behind = np.unique(item_ids[columns == UNKNOWN], return_inverse=True)
    columns[columns == UNKNOWN] = catalogue.size + behind
    return np.concatenate([catalogue, others]), columns


def _pairs(rows: NDArray[np.int64], columns: NDArray[np.int64], shape: tuple[int, int]) -> csr_array:
    """Return the pairs, each once, as a bool CSR."""
    pairs = csr_array((np.ones(rows.size, dtype=np.bool_), (rows, columns)), shape=shape)
    pairs.sum_duplicates()
    return pairs


def _slice_masks(
    slices: Slices, item_ids: NDArray[Any], train_items: NDArray[Any]
) -> dict[str, NDArray[np.bool_]]:
    """Return a mask over `item_ids` for each slice, the slice "all" first."""
    masks = {"all": np.ones(item_ids.size, dtype=np.bool_)}
    if slices is None:
        return masks
    if isinstance(slices, str):
        checks.check_one_of("slices", slices, ("popularity",), hint="Or pass a mapping of name to item ids.")
        seen_ids, counts = np.unique(train_items, return_counts=True)
        places = lookup("train", item_ids, seen_ids)
        # An item of the log that is neither ranked nor tested still counts towards the shares.
        parts = popularity_slices(np.append(counts, 0))
        return masks | {name: part[places] for name, part in parts.items()}
    check_type("slices", slices, Mapping, "Pass item ids by the name of the slice.")
    return masks | {name: np.isin(item_ids, as_ids(name, ids)) for name, ids in slices.items()}


def _pandas() -> Any:
    try:
        return importlib.import_module("pandas")
    except ImportError as error:
        raise ImportError(
            "evaluation returns a pandas data frame: pip install 'sparselabels[recsys]'"
        ) from error
