"""Impressions in memory, encoded once, and batches of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from recsys_ssl.encoding.feature_columns import column_of, look_up_rows
from recsys_ssl.encoding.feature_encoder import FeatureEncoder
from recsys_ssl.encoding.features import MISSING, MultiCategory, to_json
from recsys_ssl.encoding.streamed_encoder import unweighted
from sparse_data import Bags


def encode_rows(encoder: FeatureEncoder, columns: Mapping[str, Any]) -> dict[str, Any]:
    """Encode columns as :meth:`FeatureEncoder.transform` does, but leave several values a row as bags.

    One long bag among a million rows then costs its own length, and not its length a million times.

    Parameters
    ----------
    encoder : FeatureEncoder
        Fitted.
    columns : mapping of columns
        As of ``to_columns``; weights of bags are left out.

    Returns
    -------
    dict of str to (ndarray with n rows, or Bags of rows of a table)

    Examples
    --------
    >>> encoder = FeatureEncoder([MultiCategory("tags")]).fit({"tags": [["new"], ["old"]]})
    >>> encode_rows(encoder, {"tags": Bags.from_lists([["old", "new"], []])})["tags"].lengths.tolist()
    [2, 0]
    """
    plain = unweighted(columns)
    several = [feature for feature in encoder.features if isinstance(feature, MultiCategory)]
    encoded = part_of(
        encoder, [feature.name for feature in encoder.features if feature not in several]
    ).transform(plain)
    for feature in several:
        bags = column_of(plain, feature)
        rows = look_up_rows(feature.name, bags.values, encoder.vocabularies_[feature.name])
        encoded[feature.name] = bags.map_values(rows)
    return encoded


def part_of(encoder: FeatureEncoder, names: list[str]) -> FeatureEncoder:
    """Return an encoder of some features, with what the given one has learned of them.

    Examples
    --------
    >>> from recsys_ssl import Category
    >>> encoder = FeatureEncoder([Category("ad"), Category("sex")]).fit({"ad": [1, 2], "sex": ["F", "M"]})
    >>> part_of(encoder, ["sex"]).transform({"sex": ["M"]})
    {'sex': array([4], dtype=int32)}
    """
    learned = {**encoder.vocabularies_, **encoder.moments_}
    kept = [feature for feature in encoder.features if feature.name in names]
    return FeatureEncoder.from_state(to_json(kept), {feature.name: learned[feature.name] for feature in kept})


class EncodedBatches(keras.utils.PyDataset):
    """Batches ``(x, y)`` or ``(x, y, weights)`` of encoded impressions; all of one shape but the last.

    Parameters
    ----------
    encoded : mapping of str to (ndarray or Bags)
        As of :func:`encode_rows`; bags are padded with 0 to the longest one.
    labels : mapping of str to ndarray of shape (n,)
    weights : ndarray of shape (n,), optional
    batch_size : int
    shuffle : bool, default=True
        True: a new order every epoch, without the last, smaller batch (unless it is the only one). False:
        all rows in their order.
    seed : int, default=0
        Of the order; the epoch's number is mixed in.

    Examples
    --------
    >>> encoded, clicks = {"ad": np.array([3, 4, 3])}, np.array([1, 0, 1])
    >>> batches = EncodedBatches(encoded, {"click": clicks}, batch_size=2, shuffle=False)
    >>> [x["ad"].tolist() for x, y in (batches[0], batches[1])]
    [[3, 4], [3]]
    """

    def __init__(
        self,
        encoded: Mapping[str, Any],
        labels: Mapping[str, NDArray[Any]],
        weights: NDArray[Any] | None = None,
        *,
        batch_size: int,
        shuffle: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(workers=1, use_multiprocessing=False)
        self.encoded = dict(encoded)
        self.labels = {name: values.astype(np.float32) for name, values in labels.items()}
        self.weights = None if weights is None else weights.astype(np.float32)
        self.widths = {
            name: max(1, int(column.lengths.max(initial=0)))
            for name, column in self.encoded.items()
            if isinstance(column, Bags)
        }
        self.n = len(next(iter(self.labels.values())))
        self.batch_size = min(batch_size, self.n)
        self.shuffle = shuffle
        self.seed = seed
        self.epoch = -1
        self.on_epoch_end()

    def __len__(self) -> int:
        return self.n // self.batch_size if self.shuffle else -(-self.n // self.batch_size)

    def on_epoch_end(self) -> None:
        """Draw the order of the next epoch."""
        self.epoch += 1
        self.order = np.arange(self.n)
        if self.shuffle:
            self.order = np.random.default_rng([self.seed, self.epoch]).permutation(self.n)

    def __getitem__(self, place: int) -> Any:
        rows = self.order[place * self.batch_size : (place + 1) * self.batch_size]
        x = {}
        for name, column in self.encoded.items():
            chosen = column[rows]
            x[name] = (
                chosen.to_padded(self.widths[name], fill=MISSING) if isinstance(chosen, Bags) else chosen
            )
        y = {name: values[rows] for name, values in self.labels.items()}
        return (x, y) if self.weights is None else (x, y, self.weights[rows])
