"""Two networks as one Keras model: trained in one compiled step, predicting by the mean of their logits."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import keras
from keras import ops

from noisy_labels.compression.nested_dropout import NestedDropout

Tensor = Any
Pair = tuple[Tensor, Tensor]


class TrainingRule(Protocol):
    """What a step of training does with a batch."""

    def logits(self, networks: PairedNetworks, x: Any) -> Any:
        """Return what the loss needs of both networks, in training."""

    def loss(self, networks: PairedNetworks, x: Any, y: Any, outputs: Any) -> Tensor:
        """Return the sum of both networks' losses."""


class FeaturePair(keras.Model):
    """Both networks' features by one compiled call; no functional model, as the two may have one name."""

    def __init__(self, first: keras.Model, second: keras.Model) -> None:
        super().__init__()
        self.first, self.second = first, second
        self.built = True

    def call(self, x: Tensor) -> list[Tensor]:
        """Return the features outside training."""
        return [self.first(x, training=False), self.second(x, training=False)]


@keras.saving.register_keras_serializable(package="sparselabels")
class PairedNetworks(keras.Model):
    r"""Two feature networks, one compression and two linear classifiers without bias.

    .. math:: \ell = \tfrac12 \bigl((f_1(x) \odot m) W_1 + (f_2(x) \odot m) W_2\bigr)

    No parameter is shared, so that the gradient of the sum of their losses is that of each alone: one
    optimizer trains both, and a batch is read once.

    Parameters
    ----------
    first, second : keras.Model
        f, Sequential or functional, from an array to features of shape (n, D).
    n_classes : int
    compression : keras.layers.Layer, optional
        :class:`~noisy_labels.NestedDropout`, :class:`~noisy_labels.CompressionDropout` or another layer that
        keeps the shape and does nothing outside training; one for both networks.
    seed : int, optional
        Of the classifiers' weights.

    Attributes
    ----------
    rule : TrainingRule or None
        What a step of training does.
    rate : keras.Variable
        What a rule reads and an epoch sets, such as the share of large losses to leave out.
    """

    def __init__(
        self,
        first: keras.Model,
        second: keras.Model,
        n_classes: int,
        *,
        compression: keras.layers.Layer | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.first, self.second, self.compression = first, second, compression
        self.n_classes, self.seed = n_classes, seed
        self.rule: TrainingRule | None = None
        seeds = (None, None) if seed is None else (seed, seed + 1)
        self.first_head, self.second_head = (_head(n_classes, place) for place in seeds)
        self.rate = self.add_weight(name="rate", shape=(), initializer="zeros", trainable=False)
        self.build_from_features(first, second)

    def build_from_features(self, first: keras.Model, second: keras.Model) -> None:
        """Build classifiers and compression for the width of the features."""
        width = first.output_shape[-1]
        for layer in (self.first_head, self.second_head, self.compression):
            if layer is not None and not layer.built:
                layer.build((None, width))
        self.feature_pair = FeaturePair(first, second)
        # XLA is what runs JAX at all; for TensorFlow on small steps compiling costs more than it saves.
        self.jit_compile = self.feature_pair.jit_compile = keras.backend.backend() == "jax"
        self.built = True

    @property
    def kernels(self) -> tuple[Any, Any]:
        """W of both classifiers, arrays of shape (D, n_classes)."""
        return tuple(  # type: ignore[return-value]
            ops.convert_to_numpy(head.kernel) for head in (self.first_head, self.second_head)
        )

    @property
    def nested(self) -> NestedDropout | None:
        """The compression where it has a number of features to choose."""
        return self.compression if isinstance(self.compression, NestedDropout) else None

    def pair_logits(self, x_first: Tensor, x_second: Tensor, *, shared_mask: bool) -> Pair:
        """Return the logits of each network on its own rows, in training.

        Parameters
        ----------
        x_first, x_second : tensors of shape (n, ...)
        shared_mask : bool
            Whether both see the same k of nested dropout.
        """
        z_first, z_second = self.first(x_first, training=True), self.second(x_second, training=True)
        if self.compression is not None and shared_mask:
            both = self.compression(ops.concatenate([z_first, z_second]), training=True)
            n_first = ops.shape(z_first)[0]
            z_first, z_second = both[:n_first], both[n_first:]
        elif self.compression is not None:
            z_first = self.compression(z_first, training=True)
            z_second = self.compression(z_second, training=True)
        return self.first_head(z_first), self.second_head(z_second)

    def judged_logits(self, place: int, x: Tensor) -> Tensor:
        """Return the logits of network 0 or 1 outside training, with k* features and without a gradient."""
        network, head = ((self.first, self.first_head), (self.second, self.second_head))[place]
        z = network(x, training=False)
        if self.compression is not None:
            z = self.compression(z, training=False)
        return ops.stop_gradient(head(z))

    def call(self, x: Any, training: bool = False) -> Any:
        """Return the mean of both networks' logits; in training what the rule makes of the batch."""
        if training and self.rule is not None:
            return self.rule.logits(self, x)
        return (self.judged_logits(0, x) + self.judged_logits(1, x)) / 2

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """Return the rule's loss of a batch, with the losses that layers add."""
        if self.rule is None:
            raise ValueError("the rule of training must be set before fit. Assign networks.rule.")
        loss = self.rule.loss(self, x, y, y_pred)
        for added in self.losses:
            loss = loss + ops.sum(ops.cast(added, loss.dtype))
        return loss

    def weights_of(self, place: int) -> list[Any]:
        """Return copies of the weights of network 0 or 1 and its classifier."""
        network, head = ((self.first, self.first_head), (self.second, self.second_head))[place]
        return [*network.get_weights(), *head.get_weights()]

    def set_weights_of(self, place: int, weights: Sequence[Any]) -> None:
        """Set what :meth:`weights_of` returned."""
        network, head = ((self.first, self.first_head), (self.second, self.second_head))[place]
        network.set_weights(weights[:-1])
        head.set_weights(weights[-1:])

    @contextlib.contextmanager
    def frozen_normalization(self, frozen: bool = True) -> Iterator[None]:
        """Within it, statistics and parameters of batch normalisation stay as they are, if `frozen`."""
        layers = [
            layer
            for network in (self.first, self.second)
            for layer in network._flatten_layers(include_self=False, recursive=True)
            if frozen and isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
        ]
        for layer in layers:
            layer.trainable = False
        try:
            yield
        finally:
            for layer in layers:
                layer.trainable = True

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "first": serialize(self.first),
            "second": serialize(self.second),
            "n_classes": self.n_classes,
            "compression": None if self.compression is None else serialize(self.compression),
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> PairedNetworks:
        """Rebuild the networks, without their weights."""
        parts = dict(config)
        for name in ("first", "second", "compression"):
            if isinstance(parts[name], dict):
                parts[name] = keras.saving.deserialize_keras_object(parts[name], custom_objects)
        return cls(**parts)


def _head(n_classes: int, seed: int | None) -> keras.layers.Layer:
    return keras.layers.Dense(
        n_classes, use_bias=False, kernel_initializer=keras.initializers.GlorotUniform(seed)
    )
