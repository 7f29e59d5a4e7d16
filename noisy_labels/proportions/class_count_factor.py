"""The factor that ties the labels of each bag, of several classes, to the count of every class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from noisy_labels.proportions.bag_labels import BagIndex
from noisy_labels.proportions.bag_membership import BagMembership
from noisy_labels.proportions.class_counts import member_posteriors

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LARGEST_LATTICE = 500  # states for which messages are exact: they are asked for in every pass
_LEAST = 1e-300


@dataclass(frozen=True, eq=False, repr=False)
class ClassCountFactor:
    """Bags of rows and the counts of the classes in each, which are exact.

    Logits and messages are of shape (n, n_classes), messages with 0 for the class that they like best.

    Attributes
    ----------
    index : BagIndex or BagMembership
    counts : int array of shape (n_bags, n_classes)
        Rows sum to the sizes of the bags.
    """

    index: BagIndex | BagMembership
    counts: Ints

    def take(self, bags: Ints) -> tuple[Ints, ClassCountFactor]:
        """Return the rows of some bags and the factor of these bags over these rows alone."""
        rows, index = self.index.take(bags)
        return rows, ClassCountFactor(index, self.counts[bags])

    def of_members(self, logits: Floats, *, normaliser: bool = True) -> tuple[Floats, Floats]:
        """Return the messages to members, bag by bag, and the log-likelihood of each bag.

        `logits` are those of the members, free of what their own bag tells them.
        """
        del normaliser  # comes with the messages
        posterior, log_z = member_posteriors(
            logits, self.index.rows, self.counts, largest_lattice=_LARGEST_LATTICE
        )
        messages = np.log(np.maximum(posterior, _LEAST)) - logits
        return messages - messages.max(axis=1, keepdims=True), log_z

    def run(self, logits: Floats) -> tuple[Floats, Floats]:
        """Return what its bags tell each row, and the log-likelihood of each bag."""
        messages, log_z = self.of_members(logits[self.index.rows.values])
        return self.index.of_rows(messages), log_z

    def likelihood(self, logits: Floats) -> tuple[Floats, Floats]:
        """Return the log-likelihood of each bag, shape (n_bags,), and the gradient of their sum."""
        own = logits[self.index.rows.values]
        posterior, log_z = member_posteriors(
            own, self.index.rows, self.counts, largest_lattice=_LARGEST_LATTICE
        )
        return log_z, self.index.of_rows(posterior - softmax(own, axis=1))

    def expected_counts(self) -> Floats:
        """Return the counts."""
        return self.counts.astype(np.float64)

    def share(self) -> Floats:
        """Return the share of each class among all members of bags, shape (n_classes,)."""
        return np.asarray(self.counts.sum(axis=0) / self.index.sizes.sum())
