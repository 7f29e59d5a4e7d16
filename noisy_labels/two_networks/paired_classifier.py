"""What classifiers of two networks share: how `fit` reads data, what is predicted, how they are saved."""

from __future__ import annotations

import os
from abc import ABC
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from noisy_labels.compression.compression_dropout import CompressionDropout
from noisy_labels.compression.compression_path import CompressionPath
from noisy_labels.compression.nested_dropout import prefix_probabilities
from noisy_labels.compression.trained_size import trained_size
from noisy_labels.two_networks.labelled_rows import (
    LabelledRows,
    checked_batches,
    held_out_rows,
    is_dataset,
    rows_of_arrays,
    rows_of_dataset,
)
from noisy_labels.two_networks.pair_building import build_pair
from noisy_labels.two_networks.paired_networks import PairedNetworks
from noisy_labels.two_networks.paired_training import Validation, predict_in_blocks
from sparse_data.checks import check_count, check_in_range
from sparse_data.type_checks import naming

BuildModel = Callable[[tuple[int, ...]], keras.Model]
Compression: TypeAlias = float | keras.layers.Layer | None


def dense_features(input_shape: tuple[int, ...]) -> keras.Model:
    """Return one layer of 256 rectified units over vectors, the network where none is given."""
    if len(input_shape) != 1:
        raise ValueError(
            f"`build_model` must be given for inputs of shape {input_shape}; got None, which is for vectors. "
            "Pass a function from the shape of an input to a Keras model with features of shape (n, D)."
        )
    return keras.Sequential([keras.Input(input_shape), keras.layers.Dense(256, activation="relu")])


class PairedClassifier(ClassifierMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """A classifier that is the mean of two networks' logits."""

    build_model: BuildModel | None
    compression: Compression
    epochs: int
    batch_size: int
    learning_rate: float
    momentum: float
    weight_decay: float
    validation_fraction: float
    networks_: PairedNetworks
    classes_: NDArray[Any]
    path_: CompressionPath | None

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probabilities of the classes, the softmax of the mean logits, shape (n, n_classes).

        Parameters
        ----------
        X : array of shape (n, ...), or a data set of batches as of :meth:`fit`
        """
        return np.asarray(softmax(self._logits(X), axis=1))

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the likeliest class of each row, shape (n,)."""
        best = np.argmax(self._logits(X), axis=1)
        return np.asarray(self.classes_[best])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted classifier into a folder, without pickles; `load_co_teaching` reads it.

        Parameters
        ----------
        path : path
            New, empty, or an earlier saved classifier; something else raises FileExistsError.
        """
        from noisy_labels.two_networks.co_teaching_folder import write_classifier

        check_is_fitted(self)
        write_classifier(self, path)

    def _logits(self, X: Any) -> NDArray[np.float64]:
        check_is_fitted(self)
        if is_dataset(X):
            blocks = [predict_in_blocks(self.networks_, x)[0] for x, _ in checked_batches(X)]
            return np.concatenate(blocks).astype(np.float64)
        with naming("X", "rows of numbers, as in `fit`"):
            x = validate_data(self, X, reset=False, allow_nd=True)
        if x.shape[1:] != self.networks_.first.input_shape[1:]:
            raise ValueError(
                f"`X` must hold rows of shape {self.networks_.first.input_shape[1:]}, as in training; got "
                f"{x.shape[1:]}. Pass the same kind of rows."
            )
        return predict_in_blocks(self.networks_, x)[0].astype(np.float64)

    def _check_shared(self) -> None:
        """Check the parameters that all such classifiers have."""
        check_count("epochs", self.epochs)
        check_count("batch_size", self.batch_size, 2)
        check_in_range("learning_rate", self.learning_rate, 0, 1e30, closed="right")
        check_in_range("momentum", self.momentum, 0, 1, closed="left")
        check_in_range("weight_decay", self.weight_decay, 0)
        check_in_range("validation_fraction", self.validation_fraction, 0, 1, closed="left")
        self._made_compression(0)

    def _made_compression(self, seed: int) -> keras.layers.Layer | None:
        """Return a layer of our own, so that the parameter stays as it was given."""
        given = self.compression
        if given is None:
            return None
        if isinstance(given, keras.layers.Layer):
            config = given.get_config()
            # A mask without a seed gets ours, so that `random_state` decides about everything.
            return type(given).from_config(
                {**config, "seed": seed} if config.get("seed", 0) is None else config
            )
        return CompressionDropout(check_in_range("compression", given, 0, 1, closed="left"), seed=seed)

    def _build(self, rows: LabelledRows, seed: int) -> PairedNetworks:
        networks = build_pair(
            dense_features if self.build_model is None else self.build_model,
            rows.input_shape,
            rows.n_classes,
            compression=self._made_compression(seed),
            seed=seed,
        )
        nested = networks.nested
        if nested is not None:
            # Validation finds a better one; without it, the features that are hardly trained must not count.
            width = networks.kernels[0].shape[0]
            chances = prefix_probabilities(
                width, nested.sigma, mu=nested.mu, distribution=nested.distribution
            )
            nested.k.assign(trained_size(chances))
        return networks

    def _read(
        self,
        X: Any,
        y: ArrayLike | None,
        validation_data: tuple[Any, ArrayLike] | None,
        kind: str,
        seed: int,
    ) -> LabelledRows:
        """Check what `fit` was given and hold rows out."""
        if kind == "clean" and validation_data is None:
            raise ValueError(
                "`clean_validation` must be False without `validation_data`; got True. Held-out rows of X "
                "are as noisy as the others."
            )
        if is_dataset(X):
            return self._read_dataset(X, y, validation_data, kind)
        with naming("X", "rows of numbers, and `y` a label for each"):
            x, labels = validate_data(self, X, y, allow_nd=True)
            check_classification_targets(labels)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if self.classes_.size < 2:
            raise ValueError(
                f"`y` must hold two classes or more; got one class, {self.classes_[0]!r}. Add the others."
            )
        n_classes = self.classes_.size
        if validation_data is not None:
            return rows_of_arrays(x, codes, n_classes, self._read_validation(validation_data, kind))
        chosen = held_out_rows(codes, self.validation_fraction, seed)
        # A class must not lose its last row of training.
        left = np.bincount(codes[~chosen], minlength=n_classes)
        chosen &= left[codes] > 0
        held_out = Validation(x[chosen], codes[chosen], kind) if chosen.any() else None
        return rows_of_arrays(x[~chosen], codes[~chosen], n_classes, held_out)

    def _read_dataset(
        self, X: Any, y: ArrayLike | None, validation_data: tuple[Any, ArrayLike] | None, kind: str
    ) -> LabelledRows:
        if y is not None:
            raise ValueError("`y` must be None with a data set; got labels. The data set delivers them.")
        if validation_data is None and self.validation_fraction > 0:
            raise ValueError(
                "`validation_data` must be given with a data set; got None. Pass arrays (x, y), or set "
                "validation_fraction=0 to keep the last epoch and all features."
            )
        rows = rows_of_dataset(X)
        self.classes_ = np.arange(rows.n_classes)
        self.n_features_in_ = rows.input_shape[0]
        if validation_data is None:
            return rows
        return replace(rows, held_out=self._read_validation(validation_data, kind))

    def _read_validation(self, validation_data: tuple[Any, ArrayLike], kind: str) -> Validation:
        x, labels = validation_data
        rows = check_array(x, allow_nd=True, input_name="validation_data")
        given = np.asarray(labels)
        if given.shape != (len(rows),):
            raise ValueError(
                f"labels of `validation_data` must be of shape ({len(rows)},); got {given.shape}. Pass one "
                "a row."
            )
        unknown = ~np.isin(given, self.classes_)
        if unknown.any():
            raise ValueError(
                "labels of `validation_data` must be among those of `y`; got "
                f"{given[unknown].tolist()[0]!r}. Leave out rows of other classes."
            )
        return Validation(rows, np.searchsorted(self.classes_, given), kind)
