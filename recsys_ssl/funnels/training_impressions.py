"""From a log of impressions to an encoder, batches to train on, and batches to measure on; all checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys_ssl.encoding.feature_encoder import FeatureEncoder
from recsys_ssl.encoding.features import Feature
from recsys_ssl.encoding.streamed_encoder import learn_encoder, unweighted
from recsys_ssl.entire_space.funnel_labels import check_funnel_labels
from recsys_ssl.funnels.encoded_impressions import EncodedBatches, encode_rows
from recsys_ssl.funnels.impression_batches import ImpressionBatches, ImpressionBlocks
from recsys_ssl.funnels.impression_checks import CheckedBlocks, Outcomes, warn_of_leaks
from recsys_ssl.funnels.impression_split import hold_out_blocks, hold_out_impressions
from recsys_ssl.measures.binary_labels import check_weights
from sparse_data import checks
from sparse_data.datasets.columns import to_columns
from sparse_data.datasets.impressions import Impressions

Bools = NDArray[np.bool_]

MEASURED_AT_ONCE = 8192


class TrainingImpressions(NamedTuple):
    """An encoder and batches of impressions to train on and, or None, to measure on."""

    encoder: FeatureEncoder
    training: EncodedBatches | ImpressionBatches
    held_out: EncodedBatches | ImpressionBatches | None


def columns_of(X: Any) -> dict[str, Any]:
    """Return the columns of a frame, a mapping, an array or impressions, bags without their weights.

    Examples
    --------
    >>> columns_of(np.array([[1, 2], [3, 4]]))
    {'x0': array([1, 3]), 'x1': array([2, 4])}
    """
    if isinstance(X, Impressions):
        return unweighted(X.columns)
    if isinstance(X, np.ndarray):
        table = checks.check_ndim("X", X, 2)
        return to_columns({f"x{place}": table[:, place] for place in range(table.shape[1])})
    return unweighted(to_columns(X))


def impressions_in_memory(
    columns: Mapping[str, Any],
    features: Sequence[Feature],
    labels: Mapping[str, ArrayLike],
    sample_weight: ArrayLike | None = None,
    *,
    validation_fraction: float,
    min_count: int,
    batch_size: int,
    seed: int,
) -> TrainingImpressions:
    """Check, split and encode impressions in memory.

    Parameters
    ----------
    columns : mapping of str to column
        As of ``to_columns``.
    features : sequence of Category, MultiCategory or Dense
    labels : mapping
        "click" and "conversion", and "action" for models that learn from it; array_like of shape (n,).
    sample_weight : array_like of shape (n,), optional
    validation_fraction, min_count, batch_size, seed
        As of :class:`~recsys_ssl.funnels.entire_space_classifier.EntireSpaceClassifier`.

    Returns
    -------
    TrainingImpressions
        Vocabularies are those of the impressions to train on alone: what is new in the others is out of
        vocabulary, as it will be in use.
    """
    check_funnel_labels(labels["click"], labels["conversion"], sample_weight, actions=labels.get("action"))
    found = {name: np.asarray(values).ravel() == 1 for name, values in labels.items()}
    clicks, conversions = found["click"], found["conversion"]
    weights = check_weights(None if sample_weight is None else np.ravel(sample_weight), len(clicks))
    Outcomes.of(clicks, conversions, weights).check("in training")
    used = {feature.name: columns[feature.name] for feature in features if feature.name in columns}
    for name, column in used.items():
        checks.check_same_length(**{"clicks": clicks, name: column})
    rows, measured = np.arange(len(clicks)), None
    if validation_fraction:
        rows, measured = hold_out_impressions(clicks, conversions, validation_fraction, seed=seed)
        held = Outcomes.of(clicks[measured], conversions[measured], weights[measured])
        held.check("in the part held out for validation")
    encoder = learn_encoder(features, [_take(used, rows)], min_count=min_count)
    warn_of_leaks(used, clicks, conversions, seed=seed)
    encoded = encode_rows(encoder, used)

    def batches(chosen: NDArray[np.int64], size: int, shuffle: bool) -> EncodedBatches:
        weight = None if sample_weight is None else weights[chosen]
        parts = _take(encoded, chosen), _take(found, chosen), weight
        return EncodedBatches(*parts, batch_size=size, shuffle=shuffle, seed=seed)

    held_out = None if measured is None else batches(measured, MEASURED_AT_ONCE, shuffle=False)
    return TrainingImpressions(encoder, batches(rows, batch_size, shuffle=True), held_out)


def impressions_in_blocks(
    source: ImpressionBlocks,
    features: Sequence[Feature],
    *,
    validation: ImpressionBlocks | None = None,
    weight: str | None = None,
    max_values: int = 32,
    buffer_blocks: int = 8,
    validation_fraction: float,
    min_count: int,
    batch_size: int,
    seed: int,
) -> TrainingImpressions:
    """Check impressions in files in one pass, learn an encoder, and make batches that read them anew.

    Parameters
    ----------
    source : ImpressionBlocks
    features : sequence of Category, MultiCategory or Dense
    validation : ImpressionBlocks, optional
        In place of the last blocks.
    weight : str, optional
        Column of sample weights.
    max_values, buffer_blocks
        As of :class:`~recsys_ssl.ImpressionBatches`.
    validation_fraction, min_count, batch_size, seed
        As of :class:`~recsys_ssl.funnels.entire_space_classifier.EntireSpaceClassifier`.

    Returns
    -------
    TrainingImpressions
    """
    if validation is None and validation_fraction:
        source, validation = hold_out_blocks(source, validation_fraction)
    blocks = CheckedBlocks(source, weight)
    encoder = learn_encoder(features, blocks, min_count=min_count)
    blocks.outcomes.check("in training")
    settings: dict[str, Any] = {"weight": weight, "max_values": max_values}
    held_out = None
    if validation is not None:
        measured = CheckedBlocks(validation, weight)
        for _ in measured:
            pass
        measured.outcomes.check("in the blocks held out for validation")
        held_out = ImpressionBatches(
            validation, encoder, batch_size=MEASURED_AT_ONCE, shuffle=False, **settings
        )
    first = source.read_block(0)
    used = {feature.name: first.columns[feature.name] for feature in features}
    warn_of_leaks(used, first.clicks == 1, first.conversions == 1, seed=seed)
    training = ImpressionBatches(
        source, encoder, batch_size=batch_size, buffer_blocks=buffer_blocks, seed=seed, **settings
    )
    return TrainingImpressions(encoder, training, held_out)


def _take(columns: Mapping[str, Any], rows: NDArray[np.int64]) -> dict[str, Any]:
    return {name: column[rows] for name, column in columns.items()}
