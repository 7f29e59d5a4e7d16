"""A Keras loss of whole bags: predictions of rows, and for a label the bag and its proportions."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike, NDArray

from noisy_labels.robust_losses.class_label_loss import log_probabilities, loss_dtype
from sparse_data.checks import check_finite
from sparse_data.type_checks import check_flag

Tensor = Any  # a tensor of whichever backend Keras runs on


class BagRows(NamedTuple):
    """The rows of a batch of whole bags.

    Attributes
    ----------
    bag : int tensor of shape (n_rows,)
        n_rows for rows that are padding.
    member : tensor of shape (n_rows, 1)
        1 for rows of a bag, 0 for padding.
    proportions : tensor of shape (n_rows, n_classes)
        Of the row's bag; two columns for a binary label.
    log_p : tensor of shape (n_rows, n_classes)
    """

    bag: Tensor
    member: Tensor
    proportions: Tensor
    log_p: Tensor

    def totals(self, values: Tensor) -> Tensor:
        """Return the sums over each bag of values of shape (n_rows, ...), shape (n_rows, ...)."""
        n_rows = ops.shape(self.bag)[0]
        return ops.segment_sum(values * self.member, self.bag, n_rows + 1)[:-1]

    def sizes(self) -> Tensor:
        """Return the number of rows of each bag, 0 where there is none, shape (n_rows, 1)."""
        return self.totals(self.member)

    def means(self, values: Tensor) -> Tensor:
        """Return the means over each bag, 0 where there is none, shape (n_rows, ...)."""
        return self.totals(values) / ops.maximum(self.sizes(), 1)

    def of_row(self, values: Tensor) -> Tensor:
        """Return values of bags for each row; a last one for padding."""
        return ops.take(ops.concatenate([values, values[:1]], axis=0), self.bag, axis=0)

    def n_bags(self) -> Tensor:
        """Return the number of bags that have rows."""
        return ops.sum(ops.cast(self.sizes() > 0, self.log_p.dtype))

    def n_members(self) -> Tensor:
        """Return the number of rows that are no padding."""
        return ops.sum(self.member)


def read_bag_rows(y_true: Tensor, y_pred: Tensor, *, from_logits: bool) -> BagRows:
    """Return the rows of a batch, binary ones with two columns.

    Parameters
    ----------
    y_true : tensor of shape (n_rows, 1 + n_outputs)
        Number of the bag in the batch, below n_rows, or -1 for padding; then its proportions.
    y_pred : tensor of shape (n_rows, n_outputs)
        One output is the positive class.
    from_logits : bool

    Returns
    -------
    BagRows

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> rows = read_bag_rows([[0, 0.25], [0, 0.25]], [[0.5], [0.75]], from_logits=False)
    >>> np.asarray(rows.means(rows.proportions))[0].tolist()
    [0.75, 0.25]
    """
    y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    y_pred = ops.cast(y_pred, keras.backend.result_type(y_pred.dtype, "float32"))
    if len(y_pred.shape) == 1:
        y_pred = ops.expand_dims(y_pred, -1)
    if len(y_true.shape) != 2 or len(y_pred.shape) != 2 or y_true.shape[1] != 1 + y_pred.shape[1]:
        raise ValueError(
            "`y_true` must have one column more than `y_pred`: bag, then proportions; got shapes "
            f"{tuple(y_true.shape)} and {tuple(y_pred.shape)}. Make batches with `BagBatches`."
        )
    bag, proportions = ops.cast(y_true[:, 0], "int32"), ops.cast(y_true[:, 1:], y_pred.dtype)
    if y_pred.shape[1] == 1:
        proportions = ops.concatenate([1 - proportions, proportions], axis=1)
        log_p = _binary_log_probabilities(y_pred, from_logits)
    else:
        log_p = log_probabilities(y_pred, from_logits=from_logits)
    member = ops.expand_dims(ops.cast(bag >= 0, log_p.dtype), -1)
    return BagRows(ops.where(bag < 0, ops.shape(bag)[0], bag), member, proportions, log_p)


def class_prior(prior: float | ArrayLike) -> NDArray[np.float64]:
    """Return a prior as a distribution: a number is that of the positive class.

    Examples
    --------
    >>> class_prior(0.25).tolist()
    [0.75, 0.25]
    """
    values = np.atleast_1d(check_finite("prior", prior).astype(np.float64))
    if values.size == 1:
        values = np.array([1 - values[0], values[0]])
    if values.ndim != 1 or (values < 0).any() or abs(values.sum() - 1) > 1e-6:
        raise ValueError(
            f"`prior` must be a share in [0, 1] or a distribution; got {values.tolist()}. Take the mean of "
            "the proportions, weighted by the sizes of the bags."
        )
    return values


class BagLoss(keras.losses.Loss):
    """A loss of a batch of whole bags; subclasses state it for :class:`BagRows`, as `batch`.

    Parameters
    ----------
    from_logits : bool, default=False
        Whether the model returns logits rather than probabilities. Logits lose no digits.
    name, dtype
        As of :class:`keras.losses.Loss`; half precision is computed in float32.
    """

    def __init__(self, *, from_logits: bool = False, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name=name, reduction="sum", dtype=loss_dtype(dtype))
        self.from_logits = check_flag("from_logits", from_logits)

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        """Return the loss of the batch, a scalar."""
        if sample_weight is not None:
            raise ValueError("`sample_weight` must be None, since bags are known as wholes. Leave it out.")
        return super().__call__(y_true, y_pred)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the loss of the batch.

        Parameters
        ----------
        y_true : tensor of shape (n_rows, 1 + n_outputs)
            Number of the bag in the batch, -1 for padding; then its proportions.
        y_pred : tensor of shape (n_rows, n_outputs)

        Returns
        -------
        scalar tensor
        """
        return self.batch(read_bag_rows(y_true, y_pred, from_logits=self.from_logits))

    def batch(self, rows: BagRows) -> Tensor:
        """Return the loss of the batch, a scalar."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {"name": self.name, "dtype": self.dtype, "from_logits": self.from_logits}


class RandomBagLoss(BagLoss):
    """A loss that takes rows to have fallen into bags at random, and knows the share of each class.

    Parameters
    ----------
    prior : float or array of shape (n_classes,)
        Share of the positive class in all rows, or of each class.
    from_logits, name, dtype
        As of :class:`BagLoss`.
    """

    def __init__(self, prior: float | ArrayLike, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.prior = class_prior(prior)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "prior": self.prior.tolist()}


def _binary_log_probabilities(y_pred: Tensor, from_logits: bool) -> Tensor:
    if from_logits:
        return ops.concatenate([ops.log_sigmoid(-y_pred), ops.log_sigmoid(y_pred)], axis=1)
    return log_probabilities(ops.concatenate([1 - y_pred, y_pred], axis=1), from_logits=False)
