"""What all models of a funnel share: tables, a bottom, one tower a task, named outputs, checked labels."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
from keras import ops

from recsys_ssl.embeddings.sparse_model import SparseModel
from recsys_ssl.encoding.feature_embedding import check_specification
from recsys_ssl.entire_space.batch_rows import as_rows
from recsys_ssl.entire_space.field_vectors import FieldVectors, field_width
from recsys_ssl.entire_space.funnel_labels import check_funnel_labels
from recsys_ssl.entire_space.made_bottom import made_bottom
from recsys_ssl.entire_space.shared_bottom import sub_seeds
from recsys_ssl.entire_space.task_tower import TaskTower
from sparse_data.type_checks import check_flag, check_names, check_widths

Tensor = Any


class EntireSpaceModel(SparseModel):
    r"""A model of the funnel impression, click, conversion; :class:`ESMM` and its relatives fill in the loss.

    Calling it gives probabilities by name, each of shape (batch,): ``"ctr"`` :math:`= P(click)`, ``"cvr"``
    :math:`= P(conversion \mid click)` and ``"ctcvr"`` :math:`= P(click, conversion)`, where a class does not
    say otherwise the product of the other two.

    Inputs are a dict of encoded fields, as of :meth:`FeatureEncoder.transform`. Labels are a dict as well,
    ``{"click": ..., "conversion": ...}`` of zeros and ones, each of shape (batch,), and sample weights are
    one number an impression. A batch's loss is a weighted mean, so that weights of 2 are as impressions that
    occur twice. Use it as any Keras model: ``compile(optimizer=LazyAdam(...))``, ``fit`` on arrays, a
    ``keras.utils.PyDataset`` or a ``tf.data.Dataset``, ``evaluate``, ``predict``, ``save``.

    Metrics are compiled by the outputs' names: ``weighted_metrics={"cvr": [keras.metrics.AUC()]}``. Those of
    ``"cvr"`` are over clicked impressions if given as *weighted* metrics; Keras leaves weights out of others.

    Parameters
    ----------
    specification : sequence of dict
        As of :meth:`FeatureEncoder.specification`.
    dim : int, default=18
        Length of a field's vector.
    hidden_units : sequence of int, default=(360, 200, 80)
        ReLU layers of each tower.
    bottom : keras.Layer or callable, optional
        What stands between fields and towers: ``bottom(vector, training=...)`` gives a list of one tensor of
        shape (batch, ``output_width``) a tower; it has ``num_tasks`` and ``output_width``. A callable, such
        as a class, is called once with the width of the fields and the number of towers to make the layer. By
        default every tower gets the fields themselves.
    shared_tables : bool
        Whether all towers read the same vectors of fields, or each has its own.
    dropout : float, default=0.0
        Rate of dropout after each hidden layer of the towers, in [0, 1).
    l2 : float, default=0.0
        Weight of the mean squared length of the batch's field vectors, added to the loss in training.
    seed : int, optional
        Of the first weights and of dropout.
    tasks : sequence of str, optional
        The towers, from a class of which they depend on a parameter.

    Attributes
    ----------
    tasks : tuple of str
        Names of the towers, in the order of the bottom's outputs.
    labels : tuple of str
        Names of the labels.
    """

    tasks: tuple[str, ...] = ("ctr", "cvr")
    labels: tuple[str, ...] = ("click", "conversion")

    def __init__(
        self,
        specification: Sequence[dict[str, Any]],
        *,
        dim: int = 18,
        hidden_units: Sequence[int] = (360, 200, 80),
        bottom: keras.Layer | Callable[[int, int], keras.Layer] | None = None,
        shared_tables: bool = True,
        dropout: float = 0.0,
        l2: float = 0.0,
        seed: int | None = None,
        tasks: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_specification(specification)
        self.specification = [dict(entry) for entry in specification]
        self.dim = dim
        self.hidden_units = check_widths("hidden_units", hidden_units)
        self.shared_tables = check_flag("shared_tables", shared_tables)
        self.dropout = dropout
        self.l2 = l2
        self.seed = seed
        if tasks is not None:
            self.tasks = check_names("tasks", tasks)
        number = len(self.tasks)
        width = field_width(self.specification, dim)
        if bottom is not None and not shared_tables:
            raise ValueError(
                "`bottom` must be None without shared tables, since a bottom is shared; got one. "
                "Leave it out, or pass shared_tables=True."
            )
        self.bottom = None
        if bottom is not None:
            self.bottom = made_bottom(bottom, input_width=width, num_tasks=number)
        of_fields, of_towers = (sub_seeds(drawn, number) for drawn in sub_seeds(seed, 2))
        settings = {"dtype": self.dtype_policy}
        self.fields = [
            FieldVectors(self.specification, dim, l2=l2, seed=drawn, **settings)
            for drawn in (of_fields[:1] if shared_tables else of_fields)
        ]
        width = width if self.bottom is None else self.bottom.output_width
        self.towers = [
            TaskTower(width, self.hidden_units, dropout=dropout, seed=drawn, **settings)
            for drawn in of_towers
        ]
        self._gives_logits = False
        self.built = True

    def logits(self, inputs: dict[str, Tensor], training: bool = False) -> dict[str, Tensor]:
        """Return the towers' logits by task, each of shape (batch,)."""
        vectors = [fields(inputs, training=training) for fields in self.fields]
        if self.bottom is not None:
            vectors = self.bottom(vectors[0], training=training)
        elif self.shared_tables:
            vectors = vectors * len(self.towers)
        return {
            task: tower(vector, training=training)
            for task, tower, vector in zip(self.tasks, self.towers, vectors, strict=True)
        }

    def probabilities(self, logits: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the named outputs from the towers' logits."""
        ctr, cvr = ops.sigmoid(logits["ctr"]), ops.sigmoid(logits["cvr"])
        return {"ctr": ctr, "cvr": cvr, "ctcvr": ctr * cvr}

    def objective(
        self, logits: dict[str, Tensor], labels: dict[str, Tensor], sample_weight: Tensor | None = None
    ) -> Tensor:
        """Return the loss of a batch from the towers' logits and the labels by name."""
        raise NotImplementedError

    def end_epoch(self, score: Callable[[], float] | None = None) -> None:
        """Do what a class does after an epoch, given the score of held-out impressions: here nothing."""

    def call(self, inputs: dict[str, Tensor], training: bool = False) -> dict[str, Any]:
        """Return the named outputs; within a step of training or evaluation the logits as well."""
        logits = self.logits(inputs, training)
        found: dict[str, Any] = self.probabilities(logits)
        # A loss of probabilities would lose rare events to rounding.
        return {**found, "logits": logits} if self._gives_logits else found

    def train_step(self, *args: Any, **kwargs: Any) -> Any:
        """Run one step, on logits."""
        with self._giving_logits():
            return super().train_step(*args, **kwargs)

    def test_step(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluate one batch, on logits."""
        with self._giving_logits():
            return super().test_step(*args, **kwargs)

    @contextlib.contextmanager
    def _giving_logits(self) -> Iterator[None]:
        self._gives_logits = True
        try:
            yield
        finally:
            self._gives_logits = False

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """Loss of the method, and what layers add."""
        del x, training
        if "logits" not in y_pred:
            raise ValueError(
                "`y_pred` must hold 'logits', as within fit and evaluate; got probabilities alone. "
                "In a loop of your own call model.objective(model.logits(x, training=True), y)."
            )
        labels = dict(zip(self.labels, as_rows(*self._labels_of(y)), strict=True))
        loss = self.objective(y_pred["logits"], labels, _one_a_row(sample_weight))
        return sum(self.losses, start=loss)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Update the compiled metrics, those of "cvr" with the clicks as weights."""
        clicks, *_, conversions = as_rows(*self._labels_of(y))
        weight = _one_a_row(sample_weight)
        weight = ops.ones_like(clicks) if weight is None else as_rows(clicks, weight)[1]
        return super().compute_metrics(
            x,
            {"ctr": clicks, "cvr": conversions, "ctcvr": conversions},
            {name: y_pred[name] for name in ("ctr", "cvr", "ctcvr")},
            {"ctr": weight, "cvr": weight * clicks, "ctcvr": weight},
        )

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Train; as of :class:`keras.Model`. Ids and labels that are arrays are checked before."""
        self._check_arrays(x, y, kwargs.get("sample_weight"))
        validation = kwargs.get("validation_data")
        if isinstance(validation, (tuple, list)):
            self._check_arrays(*validation)
        return super().fit(x, y, *args, **kwargs)

    def train_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Run one step on a batch; as of :class:`keras.Model`."""
        self._check_arrays(x, y, args[0] if args else kwargs.get("sample_weight"))
        return super().train_on_batch(x, y, *args, **kwargs)

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Give loss and metrics; as of :class:`keras.Model`."""
        self._check_arrays(x, y, kwargs.get("sample_weight"))
        return super().evaluate(x, y, *args, **kwargs)

    def _check_arrays(self, x: Any, y: Any, sample_weight: Any = None) -> None:
        """Raise for ids that are no rows and for labels that no funnel gives, where they can be seen."""
        if not isinstance(x, dict):
            return  # a dataset: its batches come later
        self.fields[0].embedding.check_arrays(x)
        if isinstance(sample_weight, dict):
            raise TypeError(
                "`sample_weight` must be one array, a weight an impression; got a dict. "
                "Weights of the tasks are arguments of the model."
            )
        clicks, *actions, conversions = self._labels_of(y)
        check_funnel_labels(clicks, conversions, sample_weight, actions=actions[0] if actions else None)

    def _labels_of(self, y: Any) -> list[Any]:
        if not isinstance(y, dict) or set(y) != set(self.labels):
            got = f"keys {sorted(map(str, y))}" if isinstance(y, dict) else type(y).__name__
            raise ValueError(f"`y` must be a dict of {list(self.labels)}; got {got}. Pass an array a label.")
        return [y[name] for name in self.labels]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "specification": [dict(entry) for entry in self.specification],
            "dim": self.dim,
            "hidden_units": list(self.hidden_units),
            "bottom": keras.saving.serialize_keras_object(self.bottom),
            "shared_tables": self.shared_tables,
            "dropout": self.dropout,
            "l2": self.l2,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> EntireSpaceModel:
        """Rebuild the model from :meth:`get_config`."""
        bottom = keras.saving.deserialize_keras_object(config["bottom"], custom_objects=custom_objects)
        return cls(**{**config, "bottom": bottom})


def _one_a_row(sample_weight: Any) -> Any:
    """Return the weights of the rows, which Keras gives once a label."""
    return None if sample_weight is None else keras.tree.flatten(sample_weight)[0]
