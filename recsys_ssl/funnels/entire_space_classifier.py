"""Clicks and conversions of impressions, in the manner of scikit-learn."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.metrics import roc_auc_score
from sklearn.utils.validation import check_is_fitted

from recsys_ssl.encoding.feature_encoder import FeatureEncoder
from recsys_ssl.encoding.features import Feature, infer_features
from recsys_ssl.encoding.streamed_encoder import unweighted
from recsys_ssl.entire_space.entire_space_model import EntireSpaceModel
from recsys_ssl.funnels.entire_space_methods import entire_space_model, labels_of
from recsys_ssl.funnels.entire_space_training import (
    MONITORS,
    ROWS_AT_ONCE,
    probabilities_of,
    train_entire_space,
)
from recsys_ssl.funnels.funnel_calibration import CALIBRATIONS, FunnelCalibration
from recsys_ssl.funnels.impression_batches import ImpressionBlocks
from recsys_ssl.funnels.impression_checks import check_blocks
from recsys_ssl.funnels.training_impressions import (
    TrainingImpressions,
    columns_of,
    impressions_in_blocks,
    impressions_in_memory,
)
from recsys_ssl.measures.binary_labels import check_both_classes, check_funnel, check_weights
from sparse_data import checks
from sparse_data.type_checks import check_type

Floats = NDArray[np.float64]


class EntireSpaceClassifier(BaseEstimator):  # type: ignore[misc]
    r"""Predict of an impression the click, the conversion after a click, and both.

    .. math:: P(click, conversion \mid x) = P(click \mid x) \, P(conversion \mid click, x)

    A part of the impressions is held out to choose the epoch and, if asked for, to calibrate. A value that
    training has not seen is out of vocabulary: its vector is zero, or, with ``min_count`` above 1, what rare
    values have in common.

    Parameters
    ----------
    method : str, default="esmm"
        ``"esmm"``, ``"averaged_esmm"`` (the safest choice where it is not known why people click, at three
        to five times the cost a step and more epochs;
        :class:`~recsys_ssl.entire_space.averaged_esmm.AveragedESMM`), ``"esmm_ns"`` (without shared tables),
        ``"esm2"`` (needs actions), ``"escm2_ips"``, ``"escm2_snips"``, ``"escm2_dr"``, ``"dcmt"``,
        ``"nise"``, ``"aitm"``; or of comparisons: ``"base"`` (two networks, the second on clicks alone),
        ``"shared"`` (with shared tables), ``"aman"``, ``"oversampling"``, ``"unbias"``, ``"division"``.
    features : sequence of Category, MultiCategory or Dense, optional
        What to read from the columns; by default what `infer_features` makes of them. Declared once they
        serve :class:`~recsys_ssl.TwoTowerRetriever` as well.
    bottom : {"shared", "mmoe", "ple", "aitm"}, optional
        What stands between fields and towers.
    bottom_parameters, method_parameters : mapping, optional
        Further arguments of the bottom (``{"num_experts": 4}``) and of the method's class
        (``{"cvr_weight": 0.5, "dropout": 0.1, "l2": 1e-4}``).
    dim : int, default=18
        Length of a field's vector.
    hidden_units : sequence of int, default=(360, 200, 80)
        ReLU layers of each tower.
    min_count : int, default=1
        Values that are rarer in training are read as out of vocabulary.
    learning_rate : float, default=0.001
        Of LazyAdam.
    batch_size : int, default=1024
    epochs : int, default=10
        At most; with validation often fewer.
    validation_fraction : float, default=0.1
        Part of the impressions, of every outcome the same, that is held out, in [0, 1). With 0 all epochs are
        trained.
    monitor : {"auto", "cvr_auc", "log_likelihood"}, default="auto"
        What chooses the epoch: the area under the curve of pCVR on clicked held-out impressions, or the
        log-likelihood of clicks and of conversions after them. ``"auto"`` takes the first where 100 clicks
        with and 100 without a conversion are held out. The methods' own losses do not compare: that of NISE
        is twice the loss of clicks.
    patience : int, default=2
        Epochs without a better score after which training stops.
    calibrate : bool, "logistic" or "isotonic", default=False
        `FunnelCalibration`: maps of pCTR and of pCTCVR over all held-out impressions, whose quotient is pCVR.
        True is "logistic", which keeps the order of both.
    seed : int, default=0
        Same seed, same result on the same machine and backend.
    verbose : bool, default=True
        Show progress.

    Attributes
    ----------
    model_ : EntireSpaceModel
    encoder_ : FeatureEncoder
    method_ : str
        The method of the fit.
    calibration_ : FunnelCalibration or None
    best_epoch_ : int
    monitor_ : str or None
        The score that chose it.
    history_ : list of dict
        Loss, scores and seconds of every epoch.
    interrupted_ : bool
        Whether Ctrl-C ended training early.
    classes_ : ndarray
        0 (no click), 1 (a click alone), 2 (a conversion), of :meth:`predict`.

    References
    ----------
    Ma et al. (2018), Entire space multi-task model, SIGIR, arXiv:1804.07931.

    Examples
    --------
    >>> from sparse_data.datasets import make_funnel
    >>> shown = make_funnel(2000, n_users=20, n_items=20, conversion_rate=0.3, random_state=0).impressions
    >>> model = EntireSpaceClassifier(dim=4, hidden_units=(8,), epochs=1, verbose=False)
    >>> model = model.fit(shown.columns, shown.clicks, shown.conversions)
    >>> sorted(model.predict_proba({name: column[:3] for name, column in shown.columns.items()}))
    ['ctcvr', 'ctr', 'cvr']
    """

    model_: EntireSpaceModel
    encoder_: FeatureEncoder
    calibration_: FunnelCalibration | None

    def __init__(
        self,
        method: str = "esmm",
        *,
        features: Sequence[Feature] | None = None,
        bottom: str | None = None,
        bottom_parameters: Mapping[str, Any] | None = None,
        method_parameters: Mapping[str, Any] | None = None,
        dim: int = 18,
        hidden_units: Sequence[int] = (360, 200, 80),
        min_count: int = 1,
        learning_rate: float = 0.001,
        batch_size: int = 1024,
        epochs: int = 10,
        validation_fraction: float = 0.1,
        monitor: str = "auto",
        patience: int = 2,
        calibrate: bool | str = False,
        seed: int = 0,
        verbose: bool = True,
    ) -> None:
        self.method = method
        self.features = features
        self.bottom = bottom
        self.bottom_parameters = bottom_parameters
        self.method_parameters = method_parameters
        self.dim = dim
        self.hidden_units = hidden_units
        self.min_count = min_count
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.validation_fraction = validation_fraction
        self.monitor = monitor
        self.patience = patience
        self.calibrate = calibrate
        self.seed = seed
        self.verbose = verbose

    def fit(
        self,
        X: Any,
        clicks: ArrayLike,
        conversions: ArrayLike,
        sample_weight: ArrayLike | None = None,
        actions: ArrayLike | None = None,
    ) -> Self:
        """Learn from impressions in memory; a feature that nearly is a label is warned of.

        An exception leaves an earlier fit as it was. Ctrl-C ends training: the best of the finished epochs is
        kept as the fitted model, and KeyboardInterrupt goes on to the caller.

        Parameters
        ----------
        X : data frame, mapping of columns, Impressions, or array of shape (n, d)
            Columns of an array are called x0, x1, ...
        clicks, conversions : array_like of shape (n,)
            0 or 1; a conversion needs a click.
        sample_weight : array_like of shape (n,), optional
            Of the loss, the validation scores and the calibration.
        actions : array_like of shape (n,), optional
            Whether a click was followed by something that most purchases pass, such as a cart; it needs a
            click. Methods other than ``"esm2"`` have no use for it.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If labels are no funnel or of one class, a weight is negative or NaN, lengths differ, a parameter
            is out of range, or a declared feature is not among the columns.
        FloatingPointError
            If the loss becomes infinite or NaN.
        """
        self._check_parameters(measured=bool(self.validation_fraction))
        columns = columns_of(X)
        labels = labels_of(self.method, clicks, conversions, actions)
        return self._train(
            impressions_in_memory(columns, self._features(columns), labels, sample_weight, **self._settings())
        )

    def fit_impressions(
        self,
        impressions: ImpressionBlocks,
        *,
        validation: ImpressionBlocks | None = None,
        weight: str | None = None,
        max_values: int = 32,
        buffer_blocks: int = 8,
    ) -> Self:
        """Learn from impressions in files larger than memory, block by block.

        A pass over the blocks checks the labels and learns vocabularies; then each epoch is a pass. Features
        that are not declared are inferred from the first block, which is the one that is looked at for leaks.

        Parameters
        ----------
        impressions : ImpressionFiles, AliCCP or the like
        validation : likewise, optional
            Held-out impressions, in place of the last blocks of the others.
        weight : str, optional
            Column of sample weights.
        max_values : int, default=32
            Values of a multi-valued feature that training uses; longer bags keep the first ones.
        buffer_blocks : int, default=8
            Blocks held in memory and shuffled together.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            As of :meth:`fit`; if there is a single block and one has to be held out; for ``"esm2"``.
        """
        self._check_parameters(measured=validation is not None or bool(self.validation_fraction))
        check_blocks(self.method, impressions)
        if validation is not None:
            check_blocks(self.method, validation)
        check_type("weight", weight, (str, type(None)), "Name a column.")
        columns = {
            name: column for name, column in impressions.read_block(0).columns.items() if name != weight
        }
        return self._train(
            impressions_in_blocks(
                impressions,
                self._features(unweighted(columns)),
                validation=validation,
                weight=weight,
                max_values=max_values,
                buffer_blocks=buffer_blocks,
                **self._settings(),
            )
        )

    def predict_proba(self, X: Any) -> dict[str, Floats]:
        """Return the probabilities of impressions, clicked or not.

        Parameters
        ----------
        X : data frame, mapping of columns, Impressions, or array
            With the columns of the features; others are not read.

        Returns
        -------
        dict of str to float64 ndarray of shape (n,)
            ``"ctr"``, ``"cvr"`` and ``"ctcvr"``, the last one the product of the others.
        """
        check_is_fitted(self)
        columns = columns_of(X)
        used = {f.name: columns[f.name] for f in self.encoder_.features if f.name in columns}
        n_rows = checks.check_same_length(**used) if used else 0
        parts = []
        for start in range(0, max(n_rows, 1), ROWS_AT_ONCE):
            block = {name: column[start : start + ROWS_AT_ONCE] for name, column in used.items()}
            parts.append(self.predict_encoded(self.encoder_.transform(block)))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def predict_encoded(self, encoded: Mapping[str, NDArray[Any]]) -> dict[str, Floats]:
        """Return the probabilities of rows that ``encoder_`` has encoded, as of :meth:`predict_proba`.

        Raises
        ------
        TypeError, ValueError
            For what `FeatureEncoder.transform` cannot have returned.
        """
        check_is_fitted(self)
        check_type("encoded", encoded, Mapping, "Pass what `encoder_.transform` returned.")
        arrays = {str(name): checks.check_numeric(str(name), column) for name, column in encoded.items()}
        checks.check_same_length(**arrays)
        checks.check_nonempty("encoded", list(arrays))
        self.model_.fields[0].embedding.check_arrays(arrays)
        found = probabilities_of(self.model_, arrays)
        return found if self.calibration_ is None else self.calibration_.apply(found)

    def predict(self, X: Any) -> NDArray[np.int64]:
        """Return the likeliest outcome: 0 no click, 1 a click alone, 2 a conversion.

        Clicks are rare, so that it nearly always is 0; to rank, take :meth:`predict_proba`.
        """
        found = self.predict_proba(X)
        ctr, both = found["ctr"], found["ctcvr"]
        return np.asarray(self.classes_[np.argmax(np.stack([1 - ctr, ctr - both, both]), axis=0)])

    def score(
        self, X: Any, clicks: ArrayLike, conversions: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """Return the area under the ROC curve of pCTCVR over all impressions.

        More is measured by :func:`~recsys_ssl.measures.conversion_metrics.evaluate_funnel`.
        """
        _, converted = check_funnel(clicks, conversions)
        weights = check_weights(sample_weight, converted.size)
        check_both_classes("conversions", converted[weights > 0])
        return float(roc_auc_score(converted, self.predict_proba(X)["ctcvr"], sample_weight=weights))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all that has been learned into one folder, whole or not at all.

        Parameters
        ----------
        path : path
            New, empty, or an earlier saved classifier; something else raises FileExistsError. An earlier one
            stays readable until the new one is complete, also where the disk is full (OSError).
        """
        from recsys_ssl.funnels.entire_space_folder import write_entire_space_classifier

        check_is_fitted(self)
        write_entire_space_classifier(self, path)

    def _train(self, shown: TrainingImpressions) -> Self:
        model = self._model(shown.encoder.specification())
        run = train_entire_space(
            model,
            shown.training,
            shown.held_out,
            learning_rate=self.learning_rate,
            epochs=self.epochs,
            patience=self.patience,
            monitor=self.monitor,
            calibrate="logistic" if self.calibrate is True else self.calibrate or None,
            verbose=self.verbose,
        )
        self.model_, self.encoder_, self.method_ = model, shown.encoder, self.method
        self.calibration_, self.monitor_ = run.calibration, run.monitor
        self.best_epoch_, self.history_, self.interrupted_ = run.best_epoch, run.history, run.interrupted
        self.classes_ = np.arange(3)
        if run.interrupted:
            raise KeyboardInterrupt
        return self

    def _settings(self) -> dict[str, Any]:
        of_data = ("validation_fraction", "min_count", "batch_size", "seed")
        return {name: getattr(self, name) for name in of_data}

    def _features(self, columns: Mapping[str, Any]) -> list[Feature]:
        found = infer_features(columns) if self.features is None else list(self.features)
        checks.check_nonempty("features", range(len(found)), hint="Declare what to read: Category('ad').")
        return found

    def _check_parameters(self, *, measured: bool) -> None:
        least = {"dim": 1, "min_count": 1, "batch_size": 1, "epochs": 1, "patience": 1, "seed": 0}
        for name, minimum in least.items():
            checks.check_count(name, getattr(self, name), minimum=minimum)
        checks.check_in_range("learning_rate", self.learning_rate, 0, 1e30, closed="right")
        checks.check_in_range("validation_fraction", self.validation_fraction, low=0, high=1, closed="left")
        checks.check_one_of("monitor", self.monitor, MONITORS)
        checks.check_one_of("calibrate", self.calibrate, (False, True, *CALIBRATIONS))
        if self.calibrate and not measured:
            raise ValueError(
                "`validation_fraction` must be above 0 to calibrate; got 0. Hold a part out, such as 0.1."
            )
        # Before any work: a name or a parameter that does not exist.
        self._model([{"name": "any", "kind": "category", "num_rows": 3}])

    def _model(self, specification: list[dict[str, Any]]) -> EntireSpaceModel:
        return entire_space_model(
            self.method,
            specification,
            bottom=self.bottom,
            bottom_parameters=self.bottom_parameters,
            method_parameters=self.method_parameters,
            dim=self.dim,
            hidden_units=self.hidden_units,
            seed=self.seed,
        )
