"""Contrastive losses on two views of a batch, measures of their vectors, and the masking of embeddings."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from recsys_ssl.losses.blocked_softmax import blocked_softmax_loss
from recsys_ssl.losses.corrected_softmax import scaled_vectors
from sparse_data import checks

Tensor = Any  # a tensor of whichever backend Keras runs on


def info_nce(z: Tensor, z_prime: Tensor, temperature: Tensor, *, excluded: Tensor | None = None) -> Tensor:
    r"""Recognise every sample's other view among the other views of the batch.

    With :math:`s` the cosine, one direction alone (Yao et al. 2021, eq. 3),

    .. math::

        \ell_i = -\log \frac{\exp(s(z_i, z'_i) / \tau)}{\sum_j \exp(s(z_i, z'_j) / \tau)}.

    A zero vector has cosine 0 with everything and gets no gradient. Half precision is computed in float32.
    The (N, N) logits are made a block of rows at a time.

    Parameters
    ----------
    z, z_prime : tensors of shape (N, dim)
        Of any length.
    temperature : float or scalar tensor
        :math:`\tau`, above 0.
    excluded : bool tensor of shape (N, N), optional
        Samples that are no negatives of a row, such as those of :func:`identical_features`.

    Returns
    -------
    tensor of shape (N,)

    Raises
    ------
    ValueError
        If the shapes differ or the temperature is not above 0.

    References
    ----------
    Yao et al. (2021), Self-supervised learning for large-scale item recommendations, arXiv:2007.12865.

    Examples
    --------
    >>> rows = info_nce([[1, 0], [0, 2], [1, 1]], [[1, 0.5], [0.5, 1], [-1, 1]], 0.1)
    >>> [round(float(row), 4) for row in rows]
    [0.0114, 0.1528, 10.18]
    """
    one, other = _unit_views(z, z_prime)
    return blocked_softmax_loss(_over(one, temperature), other, known_positives=excluded, correction="none")


def symmetric_info_nce(
    z: Tensor, z_prime: Tensor, temperature: Tensor, *, excluded: Tensor | None = None
) -> Tensor:
    r"""Mean of :func:`info_nce` in both directions, :math:`(\ell(z_i, z'_i) + \ell(z'_i, z_i)) / 2`.

    Parameters
    ----------
    z, z_prime, temperature, excluded
        As in :func:`info_nce`; a row of ``excluded`` is an anchor in both directions.

    Returns
    -------
    tensor of shape (N,)

    Examples
    --------
    >>> rows = symmetric_info_nce([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]], 1.0)
    >>> [round(float(row), 4) for row in rows]
    [0.5032, 1.0032]
    """
    one = info_nce(z, z_prime, temperature, excluded=excluded)
    return 0.5 * (one + info_nce(z_prime, z, temperature, excluded=excluded))


def nt_xent(
    z: Tensor,
    z_prime: Tensor,
    temperature: Tensor,
    *,
    excluded: Tensor | None = None,
    positives: Tensor | None = None,
) -> Tensor:
    r"""Recognise the other view of a sample among all other views of both kinds.

    The :math:`2N` views :math:`h = (z, z')` are anchors in turn; :math:`j(i)` is the other view of the sample
    of *i*. With the cosine *s* (Ouyang et al. 2023, eq. 5)

    .. math::

        \ell_i = -\frac{1}{|Q(i)|} \sum_{q \in Q(i)} \log
        \frac{\exp(s(h_i, h_q) / \tau)}{\sum_{k \in M(i)} \exp(s(h_i, h_k) / \tau)}.

    As it stands :math:`Q(i) = \{j(i)\}` and :math:`M(i)` is all views but *i*, which leaves :math:`2N - 2`
    negatives (Chen et al. 2020). False-negative elimination drops the views of ``excluded`` samples from
    :math:`M(i)`; supervised positive inclusion adds those of ``positives`` to :math:`Q(i)` unless they are
    excluded. The denominator keeps all positives.

    Parameters
    ----------
    z, z_prime, temperature
        As in :func:`info_nce`.
    excluded : bool tensor of shape (N, N), optional
        As in :func:`info_nce`.
    positives : bool tensor of shape (N, N), optional
        Further samples that a row shall be near, in the paper all pairs of two conversions:
        ``labels[:, None] & labels[None, :]``. The diagonal means nothing.

    Returns
    -------
    tensor of shape (2 N,)
        The anchors *z*, then the anchors *z'*.

    References
    ----------
    Chen et al. (2020), A simple framework for contrastive learning of visual representations,
    arXiv:2002.05709. Ouyang et al. (2023), Contrastive learning for conversion rate prediction,
    arXiv:2307.05974.

    Examples
    --------
    >>> rows = nt_xent([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]], 1.0)
    >>> [round(float(row), 4) for row in rows]  # log(1 + 2 / e)
    [0.5514, 0.5514, 0.5514, 0.5514]
    """
    one, other = _unit_views(z, z_prime)
    n = ops.shape(one)[0]
    scaled = _over(ops.concatenate([one, other], axis=0), temperature)
    partners = ops.concatenate([other, one], axis=0)
    known = None if excluded is None else ops.tile(ops.cast(excluded, "bool"), (2, 2))
    # An anchor bears the number of its sample: that hides its partner, which is the positive, and itself.
    sample = ops.tile(ops.arange(n), (2,))
    rows = blocked_softmax_loss(scaled, partners, item_ids=sample, known_positives=known, correction="none")
    if positives is None:
        return rows
    further = ops.logical_and(ops.cast(positives, "bool"), _others(n))
    if excluded is not None:
        further = ops.logical_and(further, ops.logical_not(ops.cast(excluded, "bool")))
    further = ops.cast(further, one.dtype)
    # Q(i) beside j(i): both views of each further sample, the same for both anchors of a sample.
    total = ops.tile(ops.matmul(further, one + other), (2, 1))
    count = ops.tile(2.0 * ops.sum(further, axis=1, keepdims=True), (2, 1))
    mean = (partners + total) / (1.0 + count)
    # The rows hold -s(i, j); the mean over Q(i) takes its place.
    return rows + ops.sum(scaled * (partners - mean), axis=1)


def identical_features(ids: Tensor) -> Tensor:
    """Tell which samples of a batch have the same features, for ``excluded``.

    Parameters
    ----------
    ids : integer tensor of shape (N, F)
        A column a feature; F is known in advance.

    Returns
    -------
    bool tensor of shape (N, N)
        False on the diagonal.

    Raises
    ------
    TypeError
        If ``ids`` holds no integers.
    ValueError
        If it has not two dimensions.

    References
    ----------
    Ouyang et al. (2023), arXiv:2307.05974, eq. 3.

    Examples
    --------
    >>> import numpy as np
    >>> np.asarray(identical_features([[1, 2], [1, 3], [1, 2]])).astype(int).tolist()
    [[0, 0, 1], [0, 0, 0], [1, 0, 0]]
    """
    if not ops.is_tensor(ids):
        ids = checks.check_integers("ids", ids)
    ids = ops.convert_to_tensor(ids)
    if "int" not in keras.backend.standardize_dtype(ids.dtype):
        raise TypeError(f"`ids` must be of an integer dtype; got {ids.dtype}. Encode the features first.")
    if len(ids.shape) != 2:
        raise ValueError(
            f"`ids` must be 2-dimensional; got shape {tuple(ids.shape)}. Pass a column a feature."
        )
    same = _others(ops.shape(ids)[0])
    for place in range(ids.shape[1]):  # (N, N, F) at once would be F times the memory
        column = ids[:, place]
        same = ops.logical_and(same, ops.equal(column[:, None], column[None, :]))
    return same


def spread_out_square(z: Tensor) -> Tensor:
    r"""Mean squared cosine of a sample to the others, :math:`\frac1N \sum_i \sum_{j \ne i} s(z_i, z_j)^2`.

    It is found as :math:`\frac1N (\|\hat Z^\top \hat Z\|_F^2 - \sum_i \|\hat z_i\|^4)` with the normalised
    rows :math:`\hat Z`, which needs a (dim, dim) matrix alone.

    Parameters
    ----------
    z : tensor of shape (N, dim)

    Returns
    -------
    scalar tensor

    References
    ----------
    Zhang et al. (2017), Learning spread-out local feature descriptors, arXiv:1708.06320.

    Examples
    --------
    >>> round(float(spread_out_square([[1, 0], [0, 2], [1, 1]])), 6)
    0.666667
    """
    unit, _ = _unit_views(z, z)
    own = ops.sum(ops.square(ops.sum(ops.square(unit), axis=1)))
    everything = ops.sum(ops.square(ops.matmul(ops.transpose(unit), unit)))
    return (everything - own) / ops.cast(ops.shape(unit)[0], unit.dtype)


def spread_out_softmax(z: Tensor, temperature: Tensor) -> Tensor:
    r"""Spread vectors out by recognising each among all: :func:`info_nce` of a batch with itself.

    .. math::

        \ell_i = -\log \frac{\exp(1 / \tau)}{\exp(1 / \tau) + \sum_{j \ne i} \exp(s(z_i, z_j) / \tau)}

    Parameters
    ----------
    z : tensor of shape (N, dim)
    temperature : float or scalar tensor
        :math:`\tau`, above 0.

    Returns
    -------
    tensor of shape (N,)

    Examples
    --------
    >>> [round(float(row), 4) for row in spread_out_softmax([[1, 0], [0, 2], [1, 1]], 0.1)]
    [0.0521, 0.0521, 0.1016]
    """
    return info_nce(z, z, temperature)


def alignment(z: Tensor, z_prime: Tensor) -> Tensor:
    r"""Mean squared distance of the two views of a sample, :math:`\frac1N \sum_i \|\hat z_i - \hat z'_i\|^2`.

    Parameters
    ----------
    z, z_prime : tensors of shape (N, dim)
        Made of unit length here.

    Returns
    -------
    scalar tensor
        From 0, all pairs agree, to 4.

    References
    ----------
    Wang and Isola (2020), Understanding contrastive representation learning through alignment and uniformity
    on the hypersphere, arXiv:2005.10242.

    Examples
    --------
    >>> float(alignment([[2.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, -1.0]]))
    2.0
    """
    one, other = _unit_views(z, z_prime)
    return ops.mean(ops.sum(ops.square(one - other), axis=1))


def uniformity(z: Tensor, t: float = 2.0) -> Tensor:
    r"""Log of the mean Gaussian potential, :math:`\log E_{i \ne j}\, e^{-t \|\hat z_i - \hat z_j\|^2}`.

    All N (N - 1) pairs are made at once: to watch training, some hundred rows say the same at less cost.

    Parameters
    ----------
    z : tensor of shape (N, dim)
        Made of unit length here.
    t : float, default=2.0
        Above 0.

    Returns
    -------
    scalar tensor
        From -4 t to 0. It is 0 where all vectors are the same, also for a single one.

    Raises
    ------
    ValueError
        If `t` is not above 0.

    References
    ----------
    Wang and Isola (2020), arXiv:2005.10242.

    Examples
    --------
    >>> round(float(uniformity([[1.0, 0.0], [0.0, 1.0]])), 4)
    -4.0
    """
    checks.check_in_range("t", t, low=0, closed="neither")
    unit, _ = _unit_views(z, z)
    n = ops.shape(unit)[0]
    square = ops.sum(ops.square(unit), axis=1)
    products = ops.matmul(unit, ops.transpose(unit))
    distance = ops.maximum(square[:, None] + square[None, :] - 2.0 * products, 0.0)
    potentials = ops.where(_others(n), -t * distance, ops.cast(-float("inf"), unit.dtype))
    # The largest is taken out, so that no t is too large. A single vector has no pairs and none to take out.
    largest = ops.stop_gradient(ops.max(potentials))
    largest = ops.where(ops.isfinite(largest), largest, 0.0)
    total = ops.sum(ops.exp(potentials - largest))
    n_pairs = ops.cast(n * (n - 1), unit.dtype)
    alone = n_pairs < 1.0
    log_mean = ops.log(ops.where(alone, 1.0, total)) - ops.log(ops.where(alone, 1.0, n_pairs))
    return largest + log_mean


def mask_embedding(x: Tensor, rate: float, seed_generator: keras.random.SeedGenerator) -> Tensor:
    r"""Set elements of the concatenated embeddings to 0, each independently with a probability.

    Two calls give the two views of a batch. Unlike dropout the elements that stay are not scaled.

    Parameters
    ----------
    x : tensor of any shape
        In the paper (N, F K): the embeddings of F features of a sample side by side.
    rate : float
        Probability of 0, in [0, 1).
    seed_generator : keras.random.SeedGenerator

    Returns
    -------
    tensor of the same shape

    Raises
    ------
    ValueError
        If `rate` lies outside [0, 1).

    References
    ----------
    Ouyang et al. (2023), arXiv:2307.05974, section 2.3.

    Examples
    --------
    >>> import keras, numpy as np
    >>> view = np.asarray(mask_embedding(np.full((50, 40), 3.0), 0.3, keras.random.SeedGenerator(0)))
    >>> sorted(set(view.ravel().tolist())), bool(0.25 < (view == 0).mean() < 0.35)
    ([0.0, 3.0], True)
    """
    checks.check_in_range("rate", rate, low=0, high=1, closed="left")
    x = ops.convert_to_tensor(x)
    masked = keras.random.uniform(ops.shape(x), dtype="float32", seed=seed_generator) < rate
    return ops.where(masked, ops.cast(0.0, x.dtype), x)


def _unit_views(z: Tensor, z_prime: Tensor) -> tuple[Tensor, Tensor]:
    """Return two views of the same shape as unit vectors, in float64 or float32."""
    z, z_prime = ops.convert_to_tensor(z), ops.convert_to_tensor(z_prime)
    pairs = zip(z.shape, z_prime.shape, strict=False)
    differ = any(None not in pair and pair[0] != pair[1] for pair in pairs)
    if len(z.shape) != 2 or len(z_prime.shape) != 2 or differ:
        raise ValueError(
            f"`z` and `z_prime` must be of the same shape (N, dim); got {tuple(z.shape)} and "
            f"{tuple(z_prime.shape)}. Pass two views of the same samples."
        )
    # Sums of exponentials need more than half precision.
    dtype = keras.backend.result_type(z.dtype, z_prime.dtype, "float32")
    z, z_prime = ops.cast(z, dtype), ops.cast(z_prime, dtype)
    return scaled_vectors(z, z_prime, similarity="cosine", temperature=1.0)


def _over(vectors: Tensor, temperature: Tensor) -> Tensor:
    if not keras.ops.is_tensor(temperature) and not isinstance(temperature, keras.Variable):
        # As a number it keeps the precision that a cast to float32 would cost.
        return vectors / float(checks.check_in_range("temperature", temperature, low=0, closed="neither"))
    return vectors / ops.cast(temperature, vectors.dtype)


def _others(n: Tensor) -> Tensor:
    """Return the (n, n) matrix that is False on the diagonal."""
    places = ops.arange(n)
    return ops.not_equal(places[:, None], places[None, :])
