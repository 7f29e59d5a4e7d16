"""JoCoR: two networks that learn to agree, on the rows with the smallest joint loss (Wei et al., 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from noisy_labels.two_networks.paired_networks import Pair, PairedNetworks
from noisy_labels.two_networks.small_loss import joint_losses, mean_of_selected, smallest_losses
from sparse_data.checks import check_in_range


@dataclass(frozen=True)
class JoCoR:
    r"""Learn the rows with the smallest joint loss, with one optimizer for both networks.

    .. math:: \ell = (1 - \lambda)(CE_1 + CE_2) + \lambda \, (KL(p_1 \| p_2) + KL(p_2 \| p_1))

    Parameters
    ----------
    agreement : float, default=0.1
        λ, in [0, 1].  The paper takes .9 for MNIST and CIFAR-10.  For noise that leads from one class to one
        other, half of the noise rate is forgotten.

    Raises
    ------
    TypeError, ValueError
        If λ is out of its range.

    References
    ----------
    Wei, Feng, Chen and An, "Combating noisy labels by agreement: a joint training method with
    co-regularization", 2020, arXiv:2003.02752.

    Examples
    --------
    >>> JoCoR(0.9)
    JoCoR(agreement=0.9)
    """

    agreement: float = 0.1

    def __post_init__(self) -> None:
        check_in_range("agreement", self.agreement, 0, 1)

    def logits(self, networks: PairedNetworks, x: Any) -> Pair:
        """Return both networks' logits of all rows."""
        return networks.pair_logits(x, x, shared_mask=True)

    def loss(self, networks: PairedNetworks, x: Any, y: Any, outputs: Pair) -> Any:
        """Return the mean of the small joint losses."""
        losses = joint_losses(y, *outputs, self.agreement)
        return mean_of_selected(losses, smallest_losses(losses, networks.rate))
