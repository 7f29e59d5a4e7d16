"""Optimizers whose cost depends on the rows of a batch, not on the size of the table.

Duchi, Hazan and Singer, Adaptive subgradient methods, JMLR 2011; Kingma and Ba, Adam, arXiv:1412.6980;
row-wise Adagrad as described by Mudigere et al., arXiv:2104.05158.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from recsys_ssl.embeddings.gathered_rows_optimizer import GatheredRowsOptimizer
from sparse_data import checks

Tensor = Any


@keras.saving.register_keras_serializable(package="sparselabels")
class SparseSGD(GatheredRowsOptimizer, keras.optimizers.SGD):
    r"""Gradient descent on the touched rows: :math:`W_r \leftarrow W_r - \eta g_r`.

    The same as dense gradient descent, since a row without a gradient does not move.

    Parameters
    ----------
    learning_rate : float or keras.optimizers.schedules.LearningRateSchedule, default=0.01
        :math:`\eta`.
    **kwargs
        As of :class:`keras.optimizers.SGD`, without momentum, which would move every row. What they mean for
        tables: :class:`~recsys_ssl.embeddings.gathered_rows_optimizer.GatheredRowsOptimizer`.

    Raises
    ------
    ValueError
        If momentum or an average of the weights is asked for.

    Examples
    --------
    >>> import keras, numpy as np
    >>> from recsys_ssl import SparseEmbedding
    >>> table = SparseEmbedding(3, 2, embeddings_initializer="zeros")
    >>> optimizer = SparseSGD(0.5)
    >>> from recsys_ssl.sparse_training import RowGradient
    >>> rows = RowGradient(keras.ops.convert_to_tensor([1]), keras.ops.ones((1, 2)))
    >>> optimizer.apply([rows], [table.embeddings])
    >>> table.get_weights()[0].tolist()
    [[0.0, 0.0], [-0.5, -0.5], [0.0, 0.0]]
    """

    def __init__(self, learning_rate: Any = 0.01, **kwargs: Any) -> None:
        self._refuse_unsupported(**kwargs)
        super().__init__(learning_rate=learning_rate, **kwargs)

    def slots_of(self, variable: Any) -> list[tuple[str, tuple[int, ...], float]]:
        """Return no slot."""
        del variable
        return []

    def update_rows(
        self, values: Tensor, slots: list[Tensor], gradient: Tensor, learning_rate: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the rows after a step."""
        return values - learning_rate * gradient, slots


@keras.saving.register_keras_serializable(package="sparselabels")
class SparseAdagrad(GatheredRowsOptimizer, keras.optimizers.Adagrad):
    r"""Adagrad on the touched rows, one accumulator an element.

    :math:`A_{rj} \leftarrow A_{rj} + g_{rj}^2,\;
    W_{rj} \leftarrow W_{rj} - \eta\, g_{rj} / \sqrt{A_{rj} + \epsilon}`: the same as dense Adagrad, since a
    row without a gradient does not move.

    Parameters
    ----------
    learning_rate : float or keras.optimizers.schedules.LearningRateSchedule, default=0.01
        :math:`\eta`.
    initial_accumulator_value : float, default=0.1
        First value of *A*.
    epsilon : float, default=1e-7
    **kwargs
        As of :class:`keras.optimizers.Adagrad`. What they mean for tables:
        :class:`~recsys_ssl.embeddings.gathered_rows_optimizer.GatheredRowsOptimizer`.

    Raises
    ------
    ValueError
        If a number is negative, or an average of the weights is asked for.

    References
    ----------
    Duchi, Hazan and Singer (2011), Adaptive subgradient methods for online learning, JMLR 12.

    Examples
    --------
    >>> SparseAdagrad(0.1).get_config()["initial_accumulator_value"]
    0.1
    """

    def __init__(
        self,
        learning_rate: Any = 0.01,
        *,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **kwargs: Any,
    ) -> None:
        self._refuse_unsupported(**kwargs)
        checks.check_in_range("initial_accumulator_value", initial_accumulator_value, low=0)
        checks.check_in_range("epsilon", epsilon, low=0)
        super().__init__(
            learning_rate=learning_rate,
            initial_accumulator_value=initial_accumulator_value,
            epsilon=epsilon,
            **kwargs,
        )

    def slots_of(self, variable: Any) -> list[tuple[str, tuple[int, ...], float]]:
        """Return the accumulator, of the table's shape."""
        return [("accumulator", tuple(variable.shape), self.initial_accumulator_value)]

    def update_rows(
        self, values: Tensor, slots: list[Tensor], gradient: Tensor, learning_rate: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Return rows and accumulators after a step."""
        accumulator = slots[0] + ops.square(gradient)
        return values - learning_rate * gradient / ops.sqrt(accumulator + self.epsilon), [accumulator]


@keras.saving.register_keras_serializable(package="sparselabels")
class RowwiseAdagrad(SparseAdagrad):
    r"""Adagrad with one accumulator a row: a slot of ``num_rows`` numbers instead of ``num_rows * dim``.

    :math:`a_r \leftarrow a_r + \frac1d \sum_j g_{rj}^2,\;
    W_r \leftarrow W_r - \eta\, g_r / (\sqrt{a_r} + \epsilon)`. Variables that are no tables are trained by
    Keras's Adagrad.

    Parameters
    ----------
    learning_rate : float or keras.optimizers.schedules.LearningRateSchedule, default=0.01
        :math:`\eta`.
    initial_accumulator_value : float, default=0.1
        First value of *a*.
    epsilon : float, default=1e-7
    **kwargs
        As of :class:`keras.optimizers.Adagrad`. What they mean for tables:
        :class:`~recsys_ssl.embeddings.gathered_rows_optimizer.GatheredRowsOptimizer`.

    Raises
    ------
    ValueError
        If a number is negative, or an average of the weights is asked for.

    References
    ----------
    Mudigere et al. (2021), Software-hardware co-design for fast and scalable training of deep learning
    recommendation models, arXiv:2104.05158.

    Examples
    --------
    >>> import keras
    >>> from recsys_ssl import SparseEmbedding
    >>> ids = keras.Input((), dtype="int32")
    >>> model = keras.Model(ids, keras.layers.Dense(1)(SparseEmbedding(1000, 8)(ids)))
    >>> model.compile(optimizer=RowwiseAdagrad(0.1), loss="mse")
    """

    def slots_of(self, variable: Any) -> list[tuple[str, tuple[int, ...], float]]:
        """Return the accumulator, one number a row."""
        return [("row_accumulator", (variable.shape[0],), self.initial_accumulator_value)]

    def update_rows(
        self, values: Tensor, slots: list[Tensor], gradient: Tensor, learning_rate: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Return rows and accumulators after a step."""
        accumulator = slots[0] + ops.mean(gradient * gradient, axis=-1)
        rate = learning_rate / (ops.sqrt(accumulator) + self.epsilon)
        return values - rate[:, None] * gradient, [accumulator]


@keras.saving.register_keras_serializable(package="sparselabels")
class LazyAdam(GatheredRowsOptimizer, keras.optimizers.Adam):
    r"""Adam whose moments of a row move only when a batch touches the row.

    At step *t*, for touched rows alone, :math:`m_r \leftarrow \beta m_r + (1 - \beta) g_r`,
    :math:`v_r \leftarrow \beta_2 v_r + (1 - \beta_2) g_r^2`,
    :math:`W_r \leftarrow W_r - \eta c_t m_r / (\sqrt{v_r} + \epsilon)` with
    :math:`c_t = \sqrt{1 - \beta_2^t} / (1 - \beta^t)`, where :math:`\beta` is ``table_beta_1``. The bias
    correction counts the optimizer's steps, not the row's. Other variables follow Adam with ``beta_1``.

    Adam differs on rows that the batch does not touch: there it shrinks *m* and *v* and moves the row along
    *m*. Here these rows rest. After one gradient *g* Adam moves a row by
    :math:`\sum_k (1 - \beta_1) \beta_1^k = 1` times its step, most of it in batches without the row; a
    row that rests gets the first term, a tenth of it, and never the others if it is rare. Hence tables go
    without momentum unless asked: the whole step is taken at once, and a slot of the table's size is saved.

    Parameters
    ----------
    learning_rate : float or keras.optimizers.schedules.LearningRateSchedule, default=0.001
        :math:`\eta`.
    beta_1, beta_2 : float, default=0.9, 0.999
        In [0, 1).
    epsilon : float, default=1e-7
    table_beta_1 : float, default=0.0
        :math:`\beta`, in [0, 1), what takes the place of ``beta_1`` for tables; with 0 they have no *m*.
    **kwargs
        As of :class:`keras.optimizers.Adam`, without amsgrad. What they mean for tables:
        :class:`~recsys_ssl.embeddings.gathered_rows_optimizer.GatheredRowsOptimizer`.

    Raises
    ------
    ValueError
        If a number is out of range, or amsgrad or an average of the weights is asked for.

    References
    ----------
    Kingma and Ba (2015), Adam: a method for stochastic optimization, arXiv:1412.6980.

    Examples
    --------
    >>> LazyAdam(0.005).get_config()["beta_2"]
    0.999
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        *,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        table_beta_1: float = 0.0,
        **kwargs: Any,
    ) -> None:
        self._refuse_unsupported(**kwargs)
        checks.check_in_range("table_beta_1", table_beta_1, low=0, high=1, closed="left")
        checks.check_in_range("beta_1", beta_1, low=0, high=1, closed="left")
        checks.check_in_range("beta_2", beta_2, low=0, high=1, closed="left")
        checks.check_in_range("epsilon", epsilon, low=0)
        super().__init__(learning_rate=learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, **kwargs)
        self.table_beta_1 = table_beta_1

    def get_config(self) -> dict[str, Any]:
        """Return the settings for Keras to save."""
        return {**super().get_config(), "table_beta_1": self.table_beta_1}

    def slots_of(self, variable: Any) -> list[tuple[str, tuple[int, ...], float]]:
        """Return the moments that are kept, of the table's shape."""
        names = ("momentum", "velocity") if self.table_beta_1 else ("velocity",)
        return [(name, tuple(variable.shape), 0.0) for name in names]

    def update_rows(
        self, values: Tensor, slots: list[Tensor], gradient: Tensor, learning_rate: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Return rows and moments after a step."""
        step = ops.cast(self.iterations + 1, values.dtype)
        correction = ops.sqrt(1 - ops.power(self.beta_2, step)) / (1 - ops.power(self.table_beta_1, step))
        velocity = slots[-1] + (1 - self.beta_2) * (ops.square(gradient) - slots[-1])
        kept = [slots[0] + (1 - self.table_beta_1) * (gradient - slots[0])] if self.table_beta_1 else []
        momentum = kept[0] if kept else gradient
        change = learning_rate * correction * momentum / (ops.sqrt(velocity) + self.epsilon)
        return values - change, [*kept, velocity]
