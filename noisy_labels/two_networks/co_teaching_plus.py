"""Co-teaching+: small losses are exchanged among rows on which two networks disagree (Yu et al., 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from noisy_labels.two_networks.paired_networks import Pair, PairedNetworks
from noisy_labels.two_networks.small_loss import cross_entropy, disagreeing_small_losses, mean_of_selected


@dataclass(frozen=True)
class CoTeachingPlus:
    r"""Exchange small losses where the two networks class a row differently.

    .. math:: L = \overline{CE}(f_1; S_2) + \overline{CE}(f_2; S_1), \qquad
              S_k \subset \{i : \hat y_i^{(1)} \ne \hat y_i^{(2)}\}

    Two networks that always exchange grow alike; rows on which they disagree keep them apart.  The first row
    of a batch counts like any other, and losses are of logits, not of probabilities.  Where all rows agree,
    all are learned.  The stage before, in which each network learns alone, is the paper's warm-up.

    References
    ----------
    Yu et al., "How does disagreement help generalization against label corruption?", 2019, arXiv:1901.04215.

    Examples
    --------
    >>> CoTeachingPlus()
    CoTeachingPlus()
    """

    def logits(self, networks: PairedNetworks, x: Any) -> Pair:
        """Return both networks' logits of all rows."""
        return networks.pair_logits(x, x, shared_mask=True)

    def loss(self, networks: PairedNetworks, x: Any, y: Any, outputs: Pair) -> Any:
        """Return the sum of the mean losses of what the peers selected."""
        one, other = outputs
        first, second = cross_entropy(y, one), cross_entropy(y, other)
        rate = networks.rate
        of_first = disagreeing_small_losses(first, one, other, rate)
        of_second = disagreeing_small_losses(second, other, one, rate)
        return mean_of_selected(first, of_second) + mean_of_selected(second, of_first)
