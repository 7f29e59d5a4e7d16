"""DivideMix's step: labels refined and guessed, rows mixed, and the loss of both (Li et al., 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keras import ops

from noisy_labels.two_networks.paired_networks import Pair, PairedNetworks
from noisy_labels.two_networks.small_loss import cross_entropy

Tensor = Any
LEAST = 1e-8  # probability under a logarithm


def sharpen(probabilities: Tensor, temperature: float) -> Tensor:
    r"""Return distributions with less entropy.

    .. math:: p_c^{1/T} / \textstyle\sum_k p_k^{1/T}

    Parameters
    ----------
    probabilities : float tensor of shape (n, n_classes)
    temperature : float
        T, above 0; 1 changes nothing.

    Returns
    -------
    float tensor of shape (n, n_classes)

    Examples
    --------
    >>> import numpy as np
    >>> round(float(sharpen(np.array([[0.75, 0.25]], dtype="float32"), 0.5)[0, 0]), 3)
    0.9
    """
    return ops.softmax(ops.log(ops.maximum(probabilities, LEAST)) / temperature, axis=-1)


def refine_labels(codes: Tensor, clean: Tensor, predicted: Tensor, temperature: float) -> Tensor:
    r"""Return the targets of labelled rows: the given label as far as it is trusted, else the prediction.

    .. math:: \mathrm{sharpen}\bigl(w_i \, e_{\tilde y_i} + (1 - w_i) \, \bar p_i, T\bigr)

    Parameters
    ----------
    codes : int tensor of shape (n,)
    clean : float tensor of shape (n,)
        w, the probability that the label is right.
    predicted : float tensor of shape (n, n_classes)
        The mean prediction over augmentations.
    temperature : float

    Returns
    -------
    float tensor of shape (n, n_classes)

    Examples
    --------
    >>> import numpy as np
    >>> clean, predicted = np.array([0.5], dtype="float32"), np.array([[0.0, 1.0]], dtype="float32")
    >>> ops.convert_to_numpy(refine_labels(np.array([0]), clean, predicted, 0.5)).round(2).tolist()
    [[0.5, 0.5]]
    """
    given = ops.one_hot(codes, ops.shape(predicted)[-1], dtype=predicted.dtype)
    weights = ops.expand_dims(ops.cast(clean, predicted.dtype), -1)
    return sharpen(weights * given + (1 - weights) * predicted, temperature)


def mix_match_loss(logits: Tensor, targets: Tensor, n_labelled: Tensor, unlabelled_weight: Tensor) -> Tensor:
    r"""Return the loss of mixed rows, of which the first ones are labelled.

    .. math:: -\overline{\textstyle\sum_c t_c \log p_c} + \lambda_u \, \overline{(p_c - t_c)^2}
              + \sum_c \tfrac1C \log \frac{1 / C}{\bar p_c}

    The last term keeps the mean prediction from falling on few classes.

    Parameters
    ----------
    logits, targets : float tensors of shape (n, n_classes)
    n_labelled : int
    unlabelled_weight : scalar tensor
        λ_u.

    Returns
    -------
    scalar tensor

    References
    ----------
    Li, Socher and Hoi, "DivideMix: learning with noisy labels as semi-supervised learning", 2020,
    arXiv:2002.07394.
    """
    log_chances = ops.log_softmax(logits, axis=-1)
    chances = ops.exp(log_chances)
    labelled = -ops.mean(ops.sum(targets[:n_labelled] * log_chances[:n_labelled], axis=-1))
    unlabelled = ops.mean(ops.square(chances[n_labelled:] - targets[n_labelled:]))
    mean = ops.maximum(ops.mean(chances, axis=0), LEAST)
    uniform = -ops.mean(ops.log(mean)) - ops.log(ops.cast(ops.shape(logits)[-1], logits.dtype))
    return labelled + unlabelled_weight * unlabelled + uniform


def confidence(logits: Tensor) -> Tensor:
    r"""Return the mean negative entropy :math:`\overline{\sum_c p_c \log p_c}` of predictions.

    Added to the loss of warm-up it keeps networks from being sure of labels that are wrong in one direction.
    """
    log_chances = ops.log_softmax(logits, axis=-1)
    return ops.mean(ops.sum(ops.exp(log_chances) * log_chances, axis=-1))


@dataclass(frozen=True)
class WarmUp:
    """Each network learns alone; with `penalty` it is kept from being sure, for noise with a direction."""

    penalty: bool = False

    def logits(self, networks: PairedNetworks, x: Any) -> Pair:
        """Return both networks' logits of all rows."""
        return networks.pair_logits(x, x, shared_mask=False)

    def loss(self, networks: PairedNetworks, x: Any, y: Any, outputs: Pair) -> Tensor:
        """Return the sum of the mean losses."""
        loss = sum(ops.mean(cross_entropy(y, logits)) for logits in outputs)
        return loss + sum(confidence(logits) for logits in outputs) if self.penalty else loss


@dataclass(frozen=True)
class MixMatch:
    r"""Both networks learn in one step, each from rows that the other one divided.

    The batch holds for network j two views of labelled rows and of unlabelled ones, the order and the shares
    in which rows are mixed: see :class:`~noisy_labels.two_networks.divided_batches.DividedBatches`.

    Parameters
    ----------
    temperature : float, default=0.5
        T of :func:`sharpen`.
    """

    temperature: float = 0.5

    def logits(self, networks: PairedNetworks, x: Any) -> Any:
        """Return logits and targets of both networks' mixed rows."""
        (rows_first, targets_first), (rows_second, targets_second) = (
            self._mixed(networks, x, place) for place in (0, 1)
        )
        first, second = networks.pair_logits(rows_first, rows_second, shared_mask=False)
        return first, targets_first, second, targets_second

    def loss(self, networks: PairedNetworks, x: Any, y: Any, outputs: Any) -> Tensor:
        """Return the sum of both networks' losses."""
        first, targets_first, second, targets_second = outputs
        n_labelled = 2 * ops.shape(x["labelled_a_0"])[0]
        return mix_match_loss(first, targets_first, n_labelled, networks.rate) + mix_match_loss(
            second, targets_second, n_labelled, networks.rate
        )

    def _mixed(self, networks: PairedNetworks, x: Any, place: int) -> Pair:
        one, two = x[f"labelled_a_{place}"], x[f"labelled_b_{place}"]
        far, off = x[f"unlabelled_a_{place}"], x[f"unlabelled_b_{place}"]
        own = (_chances(networks, place, one) + _chances(networks, place, two)) / 2
        refined = refine_labels(x[f"codes_{place}"], x[f"clean_{place}"], own, self.temperature)
        views = [_chances(networks, judge, view) for judge in (0, 1) for view in (far, off)]
        guessed = sharpen(sum(views) / 4, self.temperature)
        rows = ops.concatenate([one, two, far, off])
        targets = ops.stop_gradient(ops.concatenate([refined, refined, guessed, guessed]))
        order, share = x[f"order_{place}"], x[f"share_{place}"]
        kept = ops.reshape(share, (-1,) + (1,) * (len(rows.shape) - 1))
        mixed = kept * rows + (1 - kept) * ops.take(rows, order, axis=0)
        of_targets = ops.reshape(share, (-1, 1))
        return mixed, of_targets * targets + (1 - of_targets) * ops.take(targets, order, axis=0)


def _chances(networks: PairedNetworks, place: int, rows: Tensor) -> Tensor:
    return ops.softmax(networks.judged_logits(place, rows), axis=-1)
