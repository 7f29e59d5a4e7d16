"""Co-teaching of two compressed networks, as a scikit-learn classifier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import keras
import numpy as np
from numpy.typing import ArrayLike
from scipy.special import softmax
from tqdm.auto import tqdm

from noisy_labels.confident_learning.label_folds import label_folds
from noisy_labels.confident_learning.noise_rate import confident_noise_rate
from noisy_labels.two_networks.co_teaching_plus import CoTeachingPlus
from noisy_labels.two_networks.exchange_rules import DisjointHalves, SharedBatch, TrainAlone
from noisy_labels.two_networks.forget_schedule import forget_schedule
from noisy_labels.two_networks.jocor import JoCoR
from noisy_labels.two_networks.labelled_rows import LabelledRows, rows_of_arrays
from noisy_labels.two_networks.paired_classifier import BuildModel, Compression, PairedClassifier
from noisy_labels.two_networks.paired_networks import TrainingRule
from noisy_labels.two_networks.paired_training import (
    Stage,
    Validation,
    falling_rates,
    predict_in_blocks,
    train_stage,
    validation_path,
)
from sparse_data.checks import check_count, check_in_range, check_one_of
from sparse_data.type_checks import random_state_of

EXCHANGES: dict[str, Callable[[], TrainingRule]] = {"halves": DisjointHalves, "batch": SharedBatch}
MOST_FORGOTTEN = 0.95  # an estimated rate must leave something to learn from
FOLDS = 3


class CoTeachingClassifier(PairedClassifier):
    r"""Two networks, compressed by themselves and then taught by each other's small losses.

    .. math:: \hat y = \arg\max_c \tfrac12 \sum_{j=1,2} \bigl[(f_j(x) \odot m_{k^*}) W_j\bigr]_c

    In the first stage each network learns from all labels, with features dropped.  In the second one each
    learns from those rows of a batch of which the other one has the smallest losses, normalisation frozen.
    After each epoch nested dropout chooses its number of features k* on held-out rows.  The first stage ends
    with its best epoch, the second one with the last that is level with the best (one standard error), as
    the best on few rows is in part the luckiest.  Held-out labels are noisy like the others unless clean ones
    are given; noise that does not depend on the features lowers all accuracies alike, and leaves their order.

    Parameters
    ----------
    build_model : callable, optional
        From the shape of an input to a `keras.Model` with features of shape (n, D), without the classifier.
        It is called twice.  By default one layer of 256 rectified units over vectors.
    compression : float, keras.layers.Layer or None, default=0.5
        `NestedDropout(sigma)`, or the rate of `CompressionDropout`; None is co-teaching alone.
    noise_rate : float or "estimate", default="estimate"
        Share of wrong labels, in [0, 1), to be forgotten in the second stage.  An estimate trains the first
        stage three times more: confident learning over cross-validated probabilities.
    exchange : {"halves", "batch"}, CoTeachingPlus or JoCoR, default="halves"
        What the second stage does: each network selects in a half of the batch of its own (Chen et al.), or
        both in the same batch (Han et al.), or the rule of another paper.
    epochs, exchange_epochs : int, default=10 and 50
        Of the first stage, and of the second.  A long first stage memorises wrong labels that the second one
        has to unlearn.
    n_gradual : int, default=20
        Epochs of the second stage over which the share to forget grows, as of Han et al.; 0, as of Chen et
        al., suits networks that a long first stage has trained.  Where most labels are wrong, networks that
        must choose a fifth of each batch early choose badly and stay so: let it grow over all epochs.
    batch_size : int, default=128
    learning_rate, exchange_learning_rate : float, default=0.05
        Of SGD; each falls to a tenth over its stage.
    momentum : float, default=0.9
    weight_decay : float, default=5e-4
        Decoupled: a step shrinks all weights by this times the learning rate.
    freeze_normalization : bool, default=True
        Whether batch normalisation stays as it is in the second stage.
    validation_fraction : float, default=0.1
        Part of each class that is held out, in [0, 1).  With 0 the last epoch is kept, and nested dropout
        takes the features of 95 % of its draws, which suits a few thousand rows and fewer.
    random_state : int, RandomState or None
        Of everything: initial weights without a seed, masks without a seed, order of rows.
    verbose : bool, default=True
        Whether a progress bar is shown.

    Attributes
    ----------
    networks_ : PairedNetworks
        A Keras model that predicts the mean logits.
    classes_ : array of shape (n_classes,)
    noise_rate_ : float
        As given or estimated.
    path_ : CompressionPath or None
        Of nested dropout: accuracy with every number of features, k*, effective rank, on which labels.
    history_ : list of dict
        Stage, loss and validation accuracy of every epoch.
    n_features_in_ : int
        Length of the first axis of a row.

    References
    ----------
    Chen, Hu, Shen, Ai and Suykens, "Compressing features for learning with noisy labels", 2022,
    arXiv:2206.13140.  Han et al., "Co-teaching: robust training of deep neural networks with extremely noisy
    labels", 2018, arXiv:1804.06872.

    Examples
    --------
    >>> X = np.r_[np.linspace(-2, -1, 50), np.linspace(1, 2, 50)][:, None]
    >>> y = np.array(["left"] * 50 + ["right"] * 50)
    >>> y[::10] = ["right"] * 5 + ["left"] * 5
    >>> settings = {"epochs": 20, "exchange_epochs": 5, "random_state": 0, "verbose": False}
    >>> model = CoTeachingClassifier(noise_rate=0.1, **settings).fit(X, y)
    >>> model.predict([[-1.5], [1.5]]).tolist()
    ['left', 'right']
    """

    noise_rate_: float
    history_: list[dict[str, Any]]

    def __init__(
        self,
        build_model: BuildModel | None = None,
        *,
        compression: Compression = 0.5,
        noise_rate: float | str = "estimate",
        exchange: str | CoTeachingPlus | JoCoR = "halves",
        epochs: int = 10,
        exchange_epochs: int = 50,
        n_gradual: int = 20,
        batch_size: int = 128,
        learning_rate: float = 0.05,
        exchange_learning_rate: float = 0.05,
        momentum: float = 0.9,
        weight_decay: float = 5e-4,
        freeze_normalization: bool = True,
        validation_fraction: float = 0.1,
        random_state: Any = None,
        verbose: bool = True,
    ) -> None:
        self.build_model = build_model
        self.compression = compression
        self.noise_rate = noise_rate
        self.exchange = exchange
        self.epochs = epochs
        self.exchange_epochs = exchange_epochs
        self.n_gradual = n_gradual
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.exchange_learning_rate = exchange_learning_rate
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.freeze_normalization = freeze_normalization
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        *,
        validation_data: tuple[Any, ArrayLike] | None = None,
        clean_validation: bool = False,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> Self:
        """Train both networks.

        Parameters
        ----------
        X : array of shape (n, ...), `tf.data.Dataset` or `keras.utils.PyDataset`
            A data set delivers batches (x, y) with integer labels from 0, shuffled as it sees fit.
        y : array of shape (n,), optional
            Noisy labels of any sortable kind; None with a data set.
        validation_data : pair of arrays, optional
            Rows and labels, instead of held-out rows of X.
        clean_validation : bool, default=False
            Whether the labels of `validation_data` are known to be right; it is said in the report alone.
        callbacks : sequence of keras.callbacks.Callback
            Called in both stages; their model is `networks_`.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            For a parameter out of its range, missing values, one class alone, or a data set of another form.
        FloatingPointError
            If the loss becomes infinite or NaN.
        """
        self._check_parameters()
        seed = int(random_state_of("random_state", self.random_state).randint(2**31 - 1))
        rows = self._read(X, y, validation_data, "clean" if clean_validation else "noisy", seed)
        estimate = self.noise_rate == "estimate"
        total = self.epochs * (1 + FOLDS * estimate) + self.exchange_epochs
        with tqdm(total=total, desc="co-teaching", unit=" epochs", disable=not self.verbose) as bar:
            rate = self._estimate(rows, seed, bar) if estimate else float(self.noise_rate)
            networks = self._build(rows, seed)
            batches = rows.batches(self.batch_size, seed)
            shared = {"held_out": rows.held_out, "bar": bar, "callbacks": callbacks}
            history = train_stage(networks, batches, self._alone(), **shared)
            with networks.frozen_normalization(self.freeze_normalization):
                second = train_stage(networks, batches, self._together(rate), **shared)
        self.path_ = validation_path(networks, rows.held_out)
        self.networks_, self.noise_rate_ = networks, rate
        self.history_ = [{"stage": "alone", **epoch} for epoch in history]
        self.history_ += [{"stage": "exchange", **epoch} for epoch in second]
        return self

    def _check_parameters(self) -> None:
        self._check_shared()
        if isinstance(self.noise_rate, str):
            check_one_of("noise_rate", self.noise_rate, ("estimate",), "Or pass a number in [0, 1).")
        else:
            check_in_range("noise_rate", self.noise_rate, 0, 1, closed="left")
        check_count("exchange_epochs", self.exchange_epochs, 0)
        check_count("n_gradual", self.n_gradual, 0)
        check_in_range("exchange_learning_rate", self.exchange_learning_rate, 0, closed="neither")
        check_one_of("freeze_normalization", self.freeze_normalization, (True, False))
        if not isinstance(self.exchange, (CoTeachingPlus, JoCoR)):
            check_one_of("exchange", self.exchange, tuple(EXCHANGES), "Or pass CoTeachingPlus() or JoCoR().")

    def _alone(self) -> Stage:
        return Stage(
            TrainAlone(),
            falling_rates(self.epochs, self.learning_rate),
            np.zeros(self.epochs),
            self.momentum,
            self.weight_decay,
            alone=True,
        )

    def _together(self, rate: float) -> Stage:
        rule: TrainingRule = EXCHANGES[self.exchange]() if isinstance(self.exchange, str) else self.exchange
        return Stage(
            rule,
            falling_rates(self.exchange_epochs, self.exchange_learning_rate),
            forget_schedule(self.exchange_epochs, rate, n_gradual=self.n_gradual),
            self.momentum,
            self.weight_decay,
            alone=False,
        )

    def _estimate(self, rows: LabelledRows, seed: int, bar: Any) -> float:
        """Return the share of wrong labels by confident learning over folds."""
        if rows.x is None or rows.codes is None:
            raise ValueError(
                '`noise_rate` must be a number with a data set; got "estimate". Folds need arrays.'
            )
        probabilities = np.zeros((len(rows.codes), rows.n_classes))
        for train, test in label_folds(FOLDS, rows.x, rows.codes, random_state=seed):
            # The fold that is predicted chooses the epoch too, by its noisy labels.
            held_out = Validation(rows.x[test], rows.codes[test])
            fold = rows_of_arrays(rows.x[train], rows.codes[train], rows.n_classes, held_out)
            networks = self._build(fold, seed)
            batches = fold.batches(self.batch_size, seed)
            train_stage(networks, batches, self._alone(), held_out=held_out, bar=bar)
            probabilities[test] = softmax(predict_in_blocks(networks, rows.x[test])[0], axis=1)
        return min(confident_noise_rate(rows.codes, probabilities), MOST_FORGOTTEN)
