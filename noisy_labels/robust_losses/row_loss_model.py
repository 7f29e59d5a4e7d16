"""Training of a classifier with a loss that remembers something of every training row."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from noisy_labels.robust_losses.class_label_loss import class_targets, cross_entropy, log_probabilities
from sparse_data.checks import check_count, check_ids_in_range, check_ndim

Tensor = Any  # a tensor of whichever backend Keras runs on
_PARTS = {"inputs", "row"}


class RowLoss(keras.layers.Layer):
    """A loss with variables of shape (n_rows, ...): what `RowLossModel` trains a classifier with.

    Parameters
    ----------
    n_rows : int
        Number of training rows.
    n_classes : int
    from_logits : bool, default=False
        Whether the classifier returns logits.
    name : str, optional
    """

    def __init__(
        self, n_rows: int, n_classes: int, *, from_logits: bool = False, name: str | None = None
    ) -> None:
        super().__init__(name=name, dtype="float32")
        self.n_rows = check_count("n_rows", n_rows)
        self.n_classes = check_count("n_classes", n_classes, 2)
        self.from_logits = from_logits
        self.built = True

    def targets_and_log_probabilities(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
        """Return both as tensors of shape (batch, n_classes)."""
        log_p = log_probabilities(y_pred, from_logits=self.from_logits)
        if log_p.shape[-1] != self.n_classes:
            raise ValueError(
                f"`y_pred` must have {self.n_classes} columns, as `n_classes` says; got {log_p.shape[-1]}. "
                "Pass one column a class."
            )
        return class_targets(y_true, log_p), log_p

    def call(self, y_true: Tensor, y_pred: Tensor, row: Tensor) -> Tensor:
        """Return the loss of each row of a batch, and remember the rows.

        Parameters
        ----------
        y_true : integer tensor of shape (batch,) or (batch, 1), or float (batch, n_classes)
        y_pred : tensor of shape (batch, n_classes)
        row : integer tensor of shape (batch,)
            Their numbers in the training data, below `n_rows`; no two alike.

        Returns
        -------
        tensor of shape (batch,)
        """
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        sizes = {"n_rows": self.n_rows, "n_classes": self.n_classes}
        return {**sizes, "from_logits": self.from_logits, "name": self.name}


@keras.saving.register_keras_serializable(package="sparselabels")
class RowLossModel(keras.Model):
    """A classifier whose training loss knows which row is which.

    ``fit`` numbers the rows of arrays by itself, so that training looks like that of any Keras model. Batches
    of a data set or generator say it themselves: ``({"inputs": x, "row": row}, y)``. Everything else takes
    plain inputs: evaluation, validation and prediction know nothing of rows, and their loss is
    cross-entropy. The memory is among the model's weights and is saved with it; a step copies it once or
    twice, which is felt from some ten million values on.

    Parameters
    ----------
    classifier : keras.Model
        Returns tensors of shape (batch, n_classes).
    row_loss : RowLoss
        :class:`EarlyLearning` or :class:`SparseOverParameterization`.
    name : str, optional

    Examples
    --------
    >>> import keras, numpy as np
    >>> from noisy_labels.robust_losses.early_learning import EarlyLearning
    >>> classifier = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    >>> model = RowLossModel(classifier, EarlyLearning(n_rows=10, n_classes=3))
    >>> model.compile("sgd", metrics=["accuracy"])
    >>> history = model.fit(np.ones((10, 4)), np.arange(10) % 3, verbose=0)
    >>> model.predict(np.ones((2, 4)), verbose=0).shape
    (2, 3)
    """

    def __init__(self, classifier: keras.Model, row_loss: RowLoss, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.classifier, self.row_loss = classifier, row_loss

    def fit(self, x: Any = None, y: Any = None, **kwargs: Any) -> Any:
        """Train; as of :class:`keras.Model`, on `n_rows` rows in the same order every time.

        Raises
        ------
        ValueError
            If `x` has another number of rows, or row numbers out of range.
        """
        return super().fit(self._numbered(x), y, **kwargs)

    def build(self, input_shape: Any) -> None:
        """Build the classifier, if it is not built."""
        if not self.classifier.built:
            self.classifier.build(input_shape["inputs"] if _is_numbered(input_shape) else input_shape)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Tensor:
        """Return what the classifier does, of shape (batch, n_classes)."""
        return self.classifier(inputs["inputs"] if _is_numbered(inputs) else inputs, training=training)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """Return the mean of the weighted losses of the batch, and what the classifier adds.

        Raises
        ------
        ValueError
            If `compile` got a loss, or a training batch has no row numbers.
        """
        if self.loss is not None:
            raise ValueError("`loss` must be None, since `row_loss` is the loss; got one. Leave it out.")
        if training and not _is_numbered(x):
            raise ValueError(
                'Batches must be ({"inputs": x, "row": row}, y) in training; got inputs alone. Pass the row '
                "numbers, or arrays, which `fit` numbers."
            )
        if training:
            rows = self.row_loss(y, y_pred, x["row"])
        else:
            log_p = log_probabilities(y_pred, from_logits=self.row_loss.from_logits)
            rows = cross_entropy(class_targets(y, log_p), log_p)
        if sample_weight is not None:
            rows = rows * ops.cast(ops.reshape(sample_weight, (-1,)), rows.dtype)
        return sum(self.losses, start=ops.mean(rows))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            "name": self.name,
            "classifier": keras.saving.serialize_keras_object(self.classifier),
            "row_loss": keras.saving.serialize_keras_object(self.row_loss),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> RowLossModel:
        """Rebuild the model from :meth:`get_config`."""
        parts = {
            key: keras.saving.deserialize_keras_object(config[key], custom_objects=custom_objects)
            for key in ("classifier", "row_loss")
        }
        return cls(**{**config, **parts})

    def _numbered(self, x: Any) -> Any:
        """Return arrays with the numbers of their rows, checked, and data sets as they are."""
        n_rows = self.row_loss.n_rows
        if _is_numbered(x) and hasattr(x["row"], "__len__"):
            row = check_ids_in_range("row", check_ndim("row", x["row"], 1), n_rows)
            return {**x, "row": row.astype(np.int32)}
        leaves = keras.tree.flatten(x)
        if not all(hasattr(leaf, "shape") and len(leaf.shape) for leaf in leaves) or not leaves:
            return x
        lengths = {int(leaf.shape[0]) for leaf in leaves}
        if lengths != {n_rows}:
            raise ValueError(
                f"`x` must have the {n_rows} rows that `row_loss` remembers; got {sorted(lengths)}. Pass "
                'them all, or {"inputs": x, "row": their numbers}.'
            )
        return {"inputs": x, "row": np.arange(n_rows, dtype=np.int32)}


def _is_numbered(x: Any) -> bool:
    return isinstance(x, dict) and set(x) == _PARTS
