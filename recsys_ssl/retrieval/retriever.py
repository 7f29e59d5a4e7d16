"""A two-tower model with `fit`, `recommend`, `similar_items`, `score`, `save` and `load`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from recsys_ssl.embeddings.id_lookup import all_ids, allowed_mask, as_ids, check_k, ids_of
from recsys_ssl.encoding.entity_features import EntityFeatures
from recsys_ssl.encoding.features import Feature
from recsys_ssl.recommenders.factor_recommender import FactorRecommender
from recsys_ssl.recommenders.folding_in import DEFAULT_L2, fold_in, rows_of_liked
from recsys_ssl.recommenders.recommender import as_interactions
from recsys_ssl.retrieval.sampled_softmax import SampledSoftmax
from recsys_ssl.retrieval.two_tower import TwoTower
from recsys_ssl.retrieval.two_tower_training import (
    Pairs,
    TrainingRun,
    build_two_tower,
    held_out_pairs,
    train_two_tower,
    vectors_of,
)
from recsys_ssl.self_supervised.feature_dropout import FeatureDropout
from recsys_ssl.self_supervised.self_supervision import SelfSupervision
from sparse_data import checks
from sparse_data.datasets.columns import to_columns
from sparse_data.datasets.interactions import Interactions
from sparse_data.type_checks import check_flag


class TwoTowerRetriever(FactorRecommender):
    r"""Recommend by two towers: :math:`\mathrm{score}(u, i) = \langle Q(u), I(i) \rangle`.

    The query tower reads a user's id and features, the item tower an item's. They are trained on the log by
    a sampled softmax with logQ correction (Yi et al. 2019). Part of the log is held out to decide how many
    epochs to train; then the model is trained on all of it.

    Parameters
    ----------
    dim : int, default=64
        Length of the vectors.
    user_features, item_features : sequence of Category, MultiCategory or Dense, optional
        What to read from the side tables; by default what `infer_features` makes of them.
    hidden_units : sequence of int, default=()
        Hidden layers of both towers. Without any, a tower adds the vectors of its features up, which is best
        for logs of up to some millions of rows.
    loss : SampledSoftmax, optional
        By default a dot product with logQ correction and without accidental hits.
    self_supervision : SelfSupervision or FeatureDropout, optional
        A further task on items, or dropout of their fields; it learns the fields from the items' features.
    uniform_negatives : int, default=0
        Items a batch that are drawn uniformly from the catalogue as further negatives.
    streaming_frequency : bool, default=False
        Estimate the sampling probabilities from the stream of batches and not from counts of the log.
    mask_known_positives : bool, default=False
        Take all other items of a user's log out of the user's negatives, not only the pair's own. It fits
        the log closer and overfits sooner.
    dropout : float, default=0.0
        Rate of dropout on the query vectors, in [0, 1). With `l2` at work it is seldom needed.
    l2 : float, default=0.05
        Weight of the mean squared length of a batch's vectors in the loss: the parameter to tune first.
    learning_rate : float, default=0.005
        Of Adam.
    batch_size : int, default=2048
    epochs : int, default=30
        At most; with validation often fewer.
    validation_fraction : float, default=0.1
        Part of the log that is held out to choose the number of epochs, in [0, 1). With 0, or a log of fewer
        than 100 pairs and no ``validation`` passed to `fit`, all ``epochs`` are trained.
    patience : int, default=5
        Epochs without a better validation metric after which training stops.
    refit : bool, default=True
        After validation, train anew on the whole log for the best number of epochs. Otherwise the weights of
        the best epoch are kept.
    seed : int, default=0
        Same seed, same result on the same machine and backend.
    verbose : bool, default=True
        Show progress.

    Attributes
    ----------
    user_ids_ : ndarray of shape (n_users,)
        Users of the log and of the user table.
    item_ids_ : ndarray of shape (n_items,)
        Items of the log and of the item table: an item without interactions is ranked by its features.
    model_ : TwoTower
    user_factors_ : float32 ndarray of shape (n_users, dim)
    item_factors_ : float32 ndarray of shape (n_items, dim)
    best_epoch_ : int
    history_ : list of dict
        Loss, validation metric and seconds of every epoch.
    interrupted_ : bool
        Whether Ctrl-C ended training early.

    References
    ----------
    Yi et al. (2019), Sampling-bias-corrected neural modeling for large corpus item recommendations, RecSys.

    Examples
    --------
    >>> from sparse_data import datasets
    >>> log = datasets.make_checkerboard(20)
    >>> model = TwoTowerRetriever(dim=8, epochs=60, learning_rate=0.02, verbose=False).fit(log)
    >>> items, scores = model.recommend([0, 1], k=1)
    >>> items.ravel().tolist()
    [0, 1]
    """

    model_: TwoTower
    user_encoder_: EntityFeatures
    item_encoder_: EntityFeatures

    def __init__(
        self,
        dim: int = 64,
        *,
        user_features: Sequence[Feature] | None = None,
        item_features: Sequence[Feature] | None = None,
        hidden_units: Sequence[int] = (),
        loss: SampledSoftmax | None = None,
        self_supervision: SelfSupervision | FeatureDropout | None = None,
        uniform_negatives: int = 0,
        streaming_frequency: bool = False,
        mask_known_positives: bool = False,
        dropout: float = 0.0,
        l2: float = 0.05,
        learning_rate: float = 0.005,
        batch_size: int = 2048,
        epochs: int = 30,
        validation_fraction: float = 0.1,
        patience: int = 5,
        refit: bool = True,
        seed: int = 0,
        verbose: bool = True,
    ) -> None:
        self.dim = dim
        self.user_features = user_features
        self.item_features = item_features
        self.hidden_units = hidden_units
        self.loss = loss
        self.self_supervision = self_supervision
        self.uniform_negatives = uniform_negatives
        self.streaming_frequency = streaming_frequency
        self.mask_known_positives = mask_known_positives
        self.dropout = dropout
        self.l2 = l2
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.refit = refit
        self.seed = seed
        self.verbose = verbose

    def fit(
        self,
        interactions: Any,
        users: Any = None,
        items: Any = None,
        *,
        validation: Any = None,
    ) -> Self:
        """Learn from a log and from side tables.

        An exception leaves an earlier fit as it was. Ctrl-C ends training: what the finished epochs have
        learned is kept as the fitted model, and KeyboardInterrupt goes on to the caller.

        Parameters
        ----------
        interactions : Interactions or data frame
            A pair that occurs more than once is one pair, its weights added up. Weights weight the loss.
        users, items : data frame or mapping, optional
            Side tables with the columns "user_id" and "item_id".
        validation : Interactions or data frame, optional
            Held-out pairs that choose the number of epochs, in place of a part of the log.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the log is empty, a parameter is out of range, or a declared feature is not in its table.
        FloatingPointError
            If the loss becomes infinite or NaN.
        """
        self._check_parameters()
        log = as_interactions(interactions, users, items)
        fresh: TwoTowerRetriever = clone(self)
        fresh._fit(
            fresh._learn_vocabulary(log), log, None if validation is None else as_interactions(validation)
        )
        # The fitted attributes alone: the parameters stay the objects that the caller passed.
        self.__dict__.update({name: value for name, value in vars(fresh).items() if name.endswith("_")})
        if self.interrupted_:
            raise KeyboardInterrupt
        return self

    def recommend_for_items(
        self,
        item_ids: Sequence[ArrayLike],
        k: int = 10,
        *,
        filter_seen: bool = True,
        allow: ArrayLike | None = None,
        deny: ArrayLike | None = None,
    ) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Recommend to users who are not in the log, from what they like (fold-in).

        Parameters
        ----------
        item_ids : sequence of n lists of item ids
            Ids that the model does not know are ignored, with one warning. A user of whom nothing is left
            gets the popularity prior.
        k, filter_seen, allow, deny
            As in `recommend`; what is seen is the user's list.

        Returns
        -------
        item_ids : array of shape (n, k)
        scores : float32 array of shape (n, k)
        """
        check_is_fitted(self)
        check_flag("filter_seen", filter_seen)
        liked = rows_of_liked(item_ids, self.item_ids_)
        allowed = allowed_mask(self.item_ids_, allow, deny)
        check_k(k, self.item_ids_.size if allowed is None else int(allowed.sum()))
        temperature = float(self.model_.sampled_softmax.current_temperature())
        queries = fold_in(self.item_factors_, liked, l2=self.l2 or DEFAULT_L2, temperature=temperature)
        columns, scores = self._rank_vectors(queries, liked, k, filter_seen=filter_seen, allowed=allowed)
        return ids_of(columns, self.item_ids_), scores

    def add_items(self, items: Any) -> Self:
        """Put new items into the catalogue, ranked by their features until the next fit.

        Parameters
        ----------
        items : data frame or mapping
            With "item_id" and every item feature that the model was trained with.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If an id is in the catalogue already or doubled, or a feature is missing.
        """
        check_is_fitted(self)
        columns = to_columns(items)
        ids = as_ids("item_id", np.asarray(columns.get("item_id", [])))
        checks.check_nonempty("item_id", ids)
        merged = np.union1d(self.item_ids_, ids)
        not_new = len(self.item_ids_) + len(ids) - len(merged)
        if not_new:
            raise ValueError(
                f"`item_id` must be new and distinct; got {not_new} that are doubled or in the catalogue. "
                "Drop them."
            )
        vectors = vectors_of(self.model_, "item", self.item_encoder_.encode(ids, columns))
        self._extend_catalogue(ids, vectors)
        return self

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write towers, vocabularies and vectors into one folder, whole or not at all.

        Parameters
        ----------
        path : path
            New, empty, or an earlier saved retriever, which is replaced once the new one is complete.

        Raises
        ------
        FileExistsError
            If something else stands there.
        OSError
            If the disk is full; the earlier folder stays readable.
        """
        from recsys_ssl.retrieval.retriever_folder import write_retriever

        check_is_fitted(self)
        write_retriever(self, path)

    def _check_parameters(self) -> None:
        least = {"dim": 1, "batch_size": 2, "epochs": 1, "patience": 1, "uniform_negatives": 0, "seed": 0}
        for name, minimum in least.items():
            checks.check_count(name, getattr(self, name), minimum=minimum)
        checks.check_in_range("dropout", self.dropout, low=0, high=1, closed="left")
        checks.check_in_range("l2", self.l2, low=0)
        checks.check_in_range("learning_rate", self.learning_rate, 0, 1e30, closed="right")
        checks.check_in_range("validation_fraction", self.validation_fraction, low=0, high=1, closed="left")
        if not isinstance(self.loss, SampledSoftmax | None):
            raise TypeError(
                f"`loss` must be a SampledSoftmax or None; got {self.loss!r}. "
                "Write SampledSoftmax('cosine', temperature=0.1) for a cosine."
            )
        if not isinstance(self.self_supervision, SelfSupervision | FeatureDropout | None):
            raise TypeError(
                f"`self_supervision` must be a SelfSupervision, a FeatureDropout or None; got "
                f"{self.self_supervision!r}. Write SelfSupervision('cfm', weight=0.1)."
            )
        if not isinstance(self.hidden_units, Sequence) or isinstance(self.hidden_units, str):
            raise TypeError(
                f"`hidden_units` must be a sequence of int; got {self.hidden_units!r}. Wrap it: (64,)."
            )

    def _catalogue(self, interactions: Interactions) -> NDArray[Any]:
        """Items of the log and of the item table."""
        return all_ids(interactions.item_ids, interactions.items, "item_id")

    def _audience(self, interactions: Interactions) -> NDArray[Any]:
        """Users of the log and of the user table."""
        return all_ids(interactions.user_ids, interactions.users, "user_id")

    def _fit(
        self, weights: csr_array, interactions: Interactions, validation: Interactions | None = None
    ) -> None:
        """Train; the vocabularies are set."""
        log, table = interactions, weights.tocoo()
        pair_weights = None if log.weights is None else table.data
        pairs = Pairs(table.row.astype(np.int64), table.col.astype(np.int64), pair_weights, table.shape)
        training, held_out = pairs, None
        if validation is not None:
            held_out = held_out_pairs(validation, self.user_ids_, self.item_ids_, self.seen_)
        elif self.validation_fraction and len(pairs) >= 100:
            training, held_out = pairs.hold_out(self.validation_fraction, seed=self.seed)
        run = self._train_once(log, training, held_out, self.epochs, "fit")
        self.history_, self.best_epoch_ = run.history, run.best_epoch
        if self.refit and len(training) < len(pairs) and not run.interrupted:
            encoders = self.user_encoder_, self.item_encoder_
            try:
                run = self._train_once(log, pairs, None, run.best_epoch, "refit on all")
            except KeyboardInterrupt:
                # Not an epoch of the refit was finished: what validation has chosen is the result.
                self.user_encoder_, self.item_encoder_ = encoders
                run.interrupted = True
        self.model_, self.interrupted_ = run.model, run.interrupted
        users, items = self.user_encoder_, self.item_encoder_
        self.user_factors_ = vectors_of(run.model, "query", users.encode(self.user_ids_, log.users))
        self.item_factors_ = vectors_of(run.model, "item", items.encode(self.item_ids_, log.items))

    def _score_into(self, users: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        super()._score_into(users, out)
        # A user of the side table of whom neither interactions nor features are known has the zero vector.
        blank = np.flatnonzero(~self.user_factors_[users].any(axis=1))
        if blank.size:
            out[blank] = self._score_unknown(self.user_ids_[users[blank]])

    def _train_once(
        self, log: Interactions, training: Pairs, held_out: Pairs | None, epochs: int, description: str
    ) -> TrainingRun:
        """Learn the encoders from the pairs' users and items, build the towers, fit them."""
        users, items = self.user_ids_[np.unique(training.users)], self.item_ids_
        if not isinstance(self.self_supervision, SelfSupervision):  # which trains the ids of all items
            items = items[np.unique(training.items)]
        self.user_encoder_ = EntityFeatures.learn("user_id", users, log.users, self.user_features)
        self.item_encoder_ = EntityFeatures.learn("item_id", items, log.items, self.item_features)
        item_features = self.item_encoder_.encode(self.item_ids_, log.items)
        return train_two_tower(
            self._build(item_features),
            training,
            held_out,
            user_features=self.user_encoder_.encode(self.user_ids_, log.users),
            item_features=item_features,
            uniform_negatives=self.uniform_negatives,
            streaming_frequency=self.streaming_frequency,
            mask_known_positives=self.mask_known_positives,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            epochs=epochs,
            patience=self.patience,
            seed=self.seed,
            description=description,
            verbose=self.verbose,
        )

    def _build(self, item_features: Mapping[str, NDArray[Any]]) -> TwoTower:
        return build_two_tower(
            self.user_encoder_.specification(),
            self.item_encoder_.specification(),
            dim=self.dim,
            hidden_units=tuple(self.hidden_units),
            dropout=self.dropout,
            l2=self.l2,
            loss=self.loss,
            self_supervision=self.self_supervision,
            item_features=item_features,
            seed=self.seed,
        )
