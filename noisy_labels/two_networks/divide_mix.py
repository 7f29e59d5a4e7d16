"""DivideMix: labels that look wrong are taken away, and learning goes on half-supervised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm.auto import tqdm

from noisy_labels.two_networks.divided_batches import Augment, DividedBatches
from noisy_labels.two_networks.division import Division
from noisy_labels.two_networks.labelled_rows import LabelledRows, is_dataset
from noisy_labels.two_networks.mix_match import MixMatch, WarmUp
from noisy_labels.two_networks.paired_classifier import BuildModel, Compression, PairedClassifier
from noisy_labels.two_networks.paired_training import Stage, falling_rates, train_stage, validation_path
from sparse_data.checks import check_count, check_in_range, check_one_of
from sparse_data.type_checks import random_state_of


class DivideMixClassifier(PairedClassifier):
    r"""Two networks that divide the rows for each other and treat suspicious ones as unlabelled.

    .. math:: L = L_x + \lambda_u L_u + \mathrm{KL}(\tfrac1C \,\|\, \bar p)

    After a warm-up on all labels, a mixture of two Gaussians over each network's losses tells before every
    epoch which labels its peer may use; these are refined, the labels of the others are guessed by both
    networks, and mixed rows of all are learned (MixMatch).  Unlike in the paper both networks take their
    step at once rather than in turns of an epoch.

    Parameters
    ----------
    build_model : callable, optional
        As of :class:`~noisy_labels.CoTeachingClassifier`.
    augment : callable, optional
        ``augment(batch, generator)`` returns a randomly changed float32 batch of the same shape, such as
        shifted and mirrored images; None leaves rows as they are.
    compression : float, keras.layers.Layer or None, default=None
    epochs, mix_epochs : int, default=10 and 30
        Of the warm-up, and after it.
    penalize_confidence : bool, default=False
        Whether warm-up adds the negative entropy, for noise that leads from a class to few others.
    threshold : float, default=0.5
        Of the probability of being clean, in (0, 1); the paper takes .6 at 90 % noise.
    average_losses : bool, default=False
        Whether rows are divided by the mean of their last five losses, for 90 % noise.
    temperature : float, default=0.5
        T of sharpening.
    alpha : float, default=4.0
        Of the Beta law by which rows are mixed.
    unlabelled_weight : float, default=25.0
        λ_u, reached after 16 epochs of growth.
    batch_size : int, default=64
        Of each kind of rows.
    learning_rate : float, default=0.02
        Of SGD; it falls to a tenth after the warm-up.
    momentum, weight_decay, validation_fraction, random_state, verbose
        As of :class:`~noisy_labels.CoTeachingClassifier`.

    Attributes
    ----------
    networks_, classes_, path_, history_, n_features_in_
        As of :class:`~noisy_labels.CoTeachingClassifier`.
    noise_rate_ : float
        Share of rows that are not taken for clean in the end.
    clean_probability_ : float array of shape (n_training,)
        Mean over both networks, of the rows that are not held out, in their order.

    References
    ----------
    Li, Socher and Hoi, "DivideMix: learning with noisy labels as semi-supervised learning", 2020,
    arXiv:2002.07394.

    Examples
    --------
    >>> X = np.r_[np.linspace(-2, -1, 50), np.linspace(1, 2, 50)][:, None]
    >>> y = np.repeat([0, 1], 50)
    >>> y[::10] = 1 - y[::10]
    >>> model = DivideMixClassifier(epochs=5, mix_epochs=2, batch_size=16, random_state=0, verbose=False)
    >>> model.fit(X, y).predict([[-1.5], [1.5]]).tolist()
    [0, 1]
    """

    noise_rate_: float
    history_: list[dict[str, Any]]
    clean_probability_: NDArray[np.float64]
    RAMP = 16

    def __init__(
        self,
        build_model: BuildModel | None = None,
        *,
        augment: Augment | None = None,
        compression: Compression = None,
        epochs: int = 10,
        mix_epochs: int = 30,
        penalize_confidence: bool = False,
        threshold: float = 0.5,
        average_losses: bool = False,
        temperature: float = 0.5,
        alpha: float = 4.0,
        unlabelled_weight: float = 25.0,
        batch_size: int = 64,
        learning_rate: float = 0.02,
        momentum: float = 0.9,
        weight_decay: float = 5e-4,
        validation_fraction: float = 0.1,
        random_state: Any = None,
        verbose: bool = True,
    ) -> None:
        self.build_model = build_model
        self.augment = augment
        self.compression = compression
        self.epochs = epochs
        self.mix_epochs = mix_epochs
        self.penalize_confidence = penalize_confidence
        self.threshold = threshold
        self.average_losses = average_losses
        self.temperature = temperature
        self.alpha = alpha
        self.unlabelled_weight = unlabelled_weight
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        *,
        validation_data: tuple[Any, ArrayLike] | None = None,
        clean_validation: bool = False,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> Self:
        """Warm up on all labels, then divide and mix.

        Parameters
        ----------
        X : array of shape (n, ...)
            Rows are divided by their losses, so that they have to lie in memory.
        y : array of shape (n,)
        validation_data, clean_validation, callbacks
            As of :meth:`~noisy_labels.CoTeachingClassifier.fit`.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            For a parameter out of its range, missing values, one class alone, or a data set for X.
        FloatingPointError
            If the loss becomes infinite or NaN.
        """
        self._check_parameters()
        if is_dataset(X):
            raise TypeError(f"`X` must be an array; got {type(X).__name__}. Load the rows into memory.")
        seed = int(random_state_of("random_state", self.random_state).randint(2**31 - 1))
        rows = self._read(X, y, validation_data, "clean" if clean_validation else "noisy", seed)
        networks = self._build(rows, seed)
        with tqdm(total=self.epochs + self.mix_epochs, desc="DivideMix", disable=not self.verbose) as bar:
            shared = {"held_out": rows.held_out, "bar": bar}
            warm = self._stage(WarmUp(self.penalize_confidence), np.zeros(self.epochs), alone=True)
            batches = rows.batches(2 * self.batch_size, seed)
            history = train_stage(networks, batches, warm, callbacks=callbacks, **shared)
            division = Division(rows, self._batches(rows, seed), average=self.average_losses, seed=seed)
            division.set_model(networks)
            division.divide()
            ramp = self.unlabelled_weight * np.minimum(np.arange(self.mix_epochs) / self.RAMP, 1)
            mix = self._stage(MixMatch(self.temperature), ramp, alone=False)
            mixed = train_stage(networks, division.batches, mix, callbacks=[division, *callbacks], **shared)
        self.path_ = validation_path(networks, rows.held_out)
        self.networks_ = networks
        self.clean_probability_ = np.mean(division.batches.clean, axis=0)
        self.noise_rate_ = float(np.mean(self.clean_probability_ <= self.threshold))
        self.history_ = [{"stage": "warm-up", **epoch} for epoch in history]
        self.history_ += [{"stage": "mix", **epoch} for epoch in mixed]
        return self

    def _stage(self, rule: Any, rates: NDArray[np.float64], *, alone: bool) -> Stage:
        constant = np.full(len(rates), self.learning_rate)
        rates_of_learning = constant if alone else falling_rates(len(rates), self.learning_rate)
        return Stage(rule, rates_of_learning, rates, self.momentum, self.weight_decay, alone=alone)

    def _batches(self, rows: LabelledRows, seed: int) -> DividedBatches:
        return DividedBatches(
            *rows.in_memory(),
            batch_size=self.batch_size,
            augment=self.augment,
            alpha=self.alpha,
            threshold=self.threshold,
            seed=seed,
        )

    def _check_parameters(self) -> None:
        self._check_shared()
        check_count("mix_epochs", self.mix_epochs)
        check_one_of("penalize_confidence", self.penalize_confidence, (True, False))
        check_one_of("average_losses", self.average_losses, (True, False))
        check_in_range("threshold", self.threshold, 0, 1, closed="neither")
        check_in_range("temperature", self.temperature, 0, closed="neither")
        check_in_range("alpha", self.alpha, 0, closed="neither")
        check_in_range("unlabelled_weight", self.unlabelled_weight, 0)
