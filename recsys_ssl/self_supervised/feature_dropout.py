"""Dropout of whole fields of items in the main task.

Volkovs et al., DropoutNet: Addressing Cold Start in Recommender Systems, NeurIPS 2017.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from recsys_ssl.encoding.feature_embedding import check_specification
from recsys_ssl.self_supervised.feature_masking import mask_fields
from sparse_data import checks
from sparse_data.type_checks import check_layer_seed

Tensor = Any


@keras.saving.register_keras_serializable(package="sparselabels")
class FeatureDropout(keras.layers.Layer):
    r"""Hide fields of the items of the main task at random: the supervised counterpart of masking.

    Every field of an item is replaced by its MASK row independently with a probability, in training alone.

    Parameters
    ----------
    rate : float, default=0.1
        In [0, 1).
    seed : int, optional

    References
    ----------
    Volkovs et al. (2017), DropoutNet: addressing cold start in recommender systems, NeurIPS.

    Examples
    --------
    >>> FeatureDropout(0.2).get_config()["rate"]
    0.2
    """

    def __init__(
        self,
        rate: float = 0.1,
        *,
        seed: int | None = None,
        specification: Sequence[Mapping[str, Any]] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.rate = checks.check_in_range("rate", rate, low=0, high=1, closed="left")
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(check_layer_seed("seed", seed))
        if specification is not None:
            check_specification(specification)
        self.specification = None if specification is None else [dict(entry) for entry in specification]
        self.built = True

    def adapt(self, specification: Sequence[Mapping[str, Any]], *_: Any, **__: Any) -> FeatureDropout:
        """Tell the fields of items, whatever they say about each other; returns itself."""
        check_specification(specification)
        self.specification = [dict(entry) for entry in specification]
        return self

    def call(self, features: Mapping[str, Tensor], training: bool = False) -> Mapping[str, Tensor]:
        """Return features with hidden fields."""
        if not training or not self.rate:
            return features
        if self.specification is None:
            raise ValueError("The fields must be told before training. Call adapt(specification).")
        hidden = dict(features)
        for entry in self.specification:
            values = ops.convert_to_tensor(features[entry["name"]])
            shape = (ops.shape(values)[0],) + (1,) * (len(values.shape) - 1)
            drop = keras.random.uniform(shape, seed=self.seed_generator) < self.rate
            everything = mask_fields({entry["name"]: values}, [entry], ops.ones((1,), dtype="bool"))
            hidden[entry["name"]] = ops.where(drop, everything[entry["name"]], values)
        return hidden

    def __deepcopy__(self, memo: dict[int, Any]) -> FeatureDropout:
        # `sklearn.clone` copies parameters; Keras's own way goes through an archive.
        copy: FeatureDropout = type(self).from_config(self.get_config())
        return copy

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "rate": self.rate,
            "seed": self.seed,
            "specification": self.specification,
        }
