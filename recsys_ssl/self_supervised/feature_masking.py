"""Two complementary views of an item: masked fields, and values dropped from multi-valued fields.

Yao et al., Self-supervised Learning for Large-scale Item Recommendations, CIKM 2021, arXiv:2007.12865.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike, NDArray

from recsys_ssl.encoding.features import MASK, MISSING
from sparse_data import checks

Tensor = Any
Features = Mapping[str, Tensor]


def correlated_masks(
    information: ArrayLike, identifiers: Sequence[int] = (), *, size: int | None = None
) -> NDArray[np.bool_]:
    r"""Return the fields that are masked together with each seed field.

    For a seed *f* these are :math:`F_m = \{f\} \cup F_c`, with :math:`F_c` the *n* fields that share most
    mutual information with it, :math:`n = \lfloor k / 2 \rfloor` of *k* fields, so that what is masked in one
    view cannot be read off what is left there. At least one field stays visible.

    An identifier shares all of every field's information and would always be among the first: identifiers
    are no seeds and are not ranked, :func:`draw_mask` gives them a side of their own.

    Parameters
    ----------
    information : array_like of shape (k, k)
        Mutual information between fields, plain or normalised.
    identifiers : sequence of int, default=()
        Places of the fields that tell items apart by themselves.
    size : int, optional
        *n*; by default half of the fields that are no identifiers.

    Returns
    -------
    bool ndarray of shape (n_seeds, k)
        A row a field that is no identifier; identifiers are False. Without any other field, no rows.

    Raises
    ------
    ValueError
        If the matrix is not square, or a number is out of range or not finite.

    Examples
    --------
    >>> information = [[1.0, 0.9, 0.1], [0.9, 1.0, 0.2], [0.1, 0.2, 1.0]]
    >>> correlated_masks(information).astype(int).tolist()
    [[1, 1, 0], [1, 1, 0], [0, 1, 1]]
    """
    matrix = checks.check_finite("information", checks.check_ndim("information", information, 2))
    matrix = matrix.astype(np.float64)
    if matrix.shape[0] != matrix.shape[1]:
        raise ValueError(
            f"`information` must be square; got {matrix.shape}. Pass one row and column a field."
        )
    k = len(matrix)
    checks.check_ids_in_range("identifiers", np.asarray(identifiers, dtype=np.int64), k)
    others = [place for place in range(k) if place not in set(identifiers)]
    n = len(others) // 2 if size is None else checks.check_count("size", size, minimum=0)
    n = max(min(n, len(others) - 2), 0)
    masks = np.zeros((len(others), k), dtype=bool)
    for row, seed in enumerate(others):
        rest = [place for place in others if place != seed]
        order = sorted(rest, key=lambda place: (-matrix[seed, place], place))
        masks[row, [seed, *order[:n]]] = True
    return masks


def draw_mask(
    n_fields: int,
    seed_generator: keras.random.SeedGenerator,
    *,
    masks: NDArray[np.bool_] | None = None,
    identifiers: Sequence[int] = (),
) -> Tensor:
    """Draw the fields that one view masks; the other view masks the rest.

    Parameters
    ----------
    n_fields : int
        *k*.
    seed_generator : keras.random.SeedGenerator
    masks : bool ndarray of shape (n_seeds, k), optional
        Of :func:`correlated_masks`: a row is drawn uniformly. Without it, a random half of the fields.
    identifiers : sequence of int, default=()
        With ``masks``: all of them are masked in one view or the other with probability 1/2; where there is
        one other field alone, in the view in which that one is visible.

    Returns
    -------
    bool tensor of shape (k,)
    """
    if masks is None or not len(masks):
        order = ops.argsort(keras.random.uniform((n_fields,), seed=seed_generator))
        return order < n_fields // 2
    place = keras.random.randint((), 0, len(masks), seed=seed_generator)
    mask = ops.take(ops.convert_to_tensor(masks), place, axis=0)
    if not len(identifiers):
        return mask
    of_identifier = np.isin(np.arange(n_fields), identifiers)
    if len(masks) == 1:
        # Whatever is masked here, one view shows the identifier and the other the field.
        return mask
    with_identifiers = keras.random.uniform((), seed=seed_generator) < 0.5
    return ops.logical_or(mask, ops.logical_and(ops.convert_to_tensor(of_identifier), with_identifiers))


def mask_fields(features: Features, specification: Sequence[Mapping[str, Any]], mask: Tensor) -> Features:
    """Replace masked fields by their MASK row.

    A category becomes the row ``MASK``, a multi-valued field the bag of ``MASK`` alone, a dense feature NaN,
    for which a :class:`~recsys_ssl.FeatureTower` has a learned vector of its own.

    Parameters
    ----------
    features : mapping of str to tensor
        Encoded as by :class:`~recsys_ssl.FeatureEncoder`, batch first.
    specification : sequence of dict
        Name and kind of each field.
    mask : bool tensor of shape (k,)

    Returns
    -------
    dict of str to tensor
        New tensors; features that the specification does not name stay as they are.
    """
    masked = dict(features)
    for place, entry in enumerate(specification):
        values = ops.convert_to_tensor(features[entry["name"]])
        if entry["kind"] == "dense":
            hidden = ops.full_like(values, np.nan)
        elif entry["kind"] == "multi":
            first = ops.arange(ops.shape(values)[1]) == 0
            row = ops.cast(ops.where(first, MASK, MISSING), values.dtype)
            hidden = ops.broadcast_to(row, ops.shape(values))
        else:
            hidden = ops.full_like(values, MASK)
        masked[entry["name"]] = ops.where(mask[place], hidden, values)
    return masked


def drop_values(
    features: Features,
    specification: Sequence[Mapping[str, Any]],
    rate: float,
    seed_generator: keras.random.SeedGenerator,
) -> Features:
    """Drop every value of a multi-valued field independently with a probability.

    Parameters
    ----------
    features : mapping of str to tensor
    specification : sequence of dict
    rate : float
        In [0, 1). A masked field stays masked.
    seed_generator : keras.random.SeedGenerator

    Returns
    -------
    dict of str to tensor
    """
    kept = dict(features)
    for entry in specification if rate else ():
        if entry["kind"] == "multi":
            values = ops.convert_to_tensor(features[entry["name"]])
            drawn = keras.random.uniform(ops.shape(values), seed=seed_generator)
            dropped = ops.logical_and(drawn < rate, ops.not_equal(values, MASK))
            kept[entry["name"]] = ops.where(dropped, ops.cast(MISSING, values.dtype), values)
    return kept


def vectors_of_views(
    first: Features,
    second: Features,
    specification: Sequence[Mapping[str, Any]],
    mask: Tensor,
    embedding: Any,
) -> dict[str, Tensor]:
    """Return the vectors of the fields in two views, one of which masks some fields and the other the rest.

    Every field is seen in one view alone. So its values are looked up once, and its MASK row once for the
    whole batch, where views made of ids would look up two rows of every item.

    Parameters
    ----------
    first, second : mapping of str to tensor
        Encoded features of the same *n* items before anything is masked; they may differ in dropped values.
    specification : sequence of dict
        Name and kind of each field.
    mask : bool tensor of shape (k,)
        Fields that the first view masks.
    embedding : callable
        Gives vectors by field, such as a :class:`~recsys_ssl.encoding.feature_embedding.FeatureEmbedding`.

    Returns
    -------
    dict of str to tensor of shape (2 n, dim)
        The first view of all items, then the second; fields that the specification does not name are seen in
        both.
    """
    shown = {name: ops.convert_to_tensor(column) for name, column in first.items()}
    for place, entry in enumerate(specification):
        if second[entry["name"]] is not first[entry["name"]]:
            shown[entry["name"]] = ops.where(mask[place], second[entry["name"]], shown[entry["name"]])
    # One more item, of which everything is masked.
    everything = np.ones(len(specification), dtype=bool)
    hidden = mask_fields({name: column[:1] for name, column in shown.items()}, specification, everything)
    found = embedding({name: ops.concatenate([shown[name], hidden[name]], axis=0) for name in shown})
    names = [entry["name"] for entry in specification]
    views = {name: ops.tile(vectors[:-1], (2, 1)) for name, vectors in found.items() if name not in names}
    for place, entry in enumerate(specification):
        seen, masked = found[entry["name"]][:-1], found[entry["name"]][-1:]
        sides = [ops.where(mask[place], masked, seen), ops.where(mask[place], seen, masked)]
        views[entry["name"]] = ops.concatenate(sides, axis=0)
    return views
