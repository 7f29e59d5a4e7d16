"""Progressive layered extraction: experts of a task beside experts of all, in levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from recsys_ssl.entire_space.mmoe import gate_weights
from recsys_ssl.entire_space.shared_bottom import Experts, glorot_kernels, sub_seeds
from sparse_data import checks

Tensor = Any


@keras.saving.register_keras_serializable(package="sparselabels")
class CustomizedGateControl(keras.layers.Layer):
    r"""One level of :class:`PLE`.

    Task *k* has experts :math:`E_k` that read its input :math:`x_k`, all tasks have experts :math:`E_s` that
    read :math:`x_s`:

    .. math::

        z_k = \sum_{i \in E_k \cup E_s} \mathrm{softmax}(W_k x_k)_i \, f_i, \qquad
        z_s = \sum_{i \in E_1 \cup \dots \cup E_K \cup E_s} \mathrm{softmax}(W_s x_s)_i \, f_i,

    the latter unless the level is the last.

    Parameters
    ----------
    input_width : int
    num_tasks : int
    task_experts : int, default=2
        Experts of each task.
    shared_experts : int, default=2
    units : sequence of int, default=(256, 128)
        Widths of the layers of each expert.
    dropout : float, default=0.0
        Rate of dropout after each layer of the experts, in [0, 1).
    gate_dropout : float, default=0.0
        Chance that a gate does not see an expert, as in :class:`MMoE`.
    last : bool, default=True
        Whether :math:`z_s` is left out.
    seed : int, optional
        Of the first weights and of dropout.

    Raises
    ------
    ValueError
        If a number is out of range or `units` is empty.

    Examples
    --------
    >>> import numpy as np
    >>> level = CustomizedGateControl(4, 2, units=(8,), last=False, seed=0)
    >>> tuple(level(np.ones((5, 4), "float32")).shape)  # the tasks, then the shared vector
    (3, 5, 8)
    """

    def __init__(
        self,
        input_width: int,
        num_tasks: int,
        *,
        task_experts: int = 2,
        shared_experts: int = 2,
        units: Sequence[int] = (256, 128),
        dropout: float = 0.0,
        gate_dropout: float = 0.0,
        last: bool = True,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_tasks = checks.check_count("num_tasks", num_tasks)
        self.task_experts = checks.check_count("task_experts", task_experts)
        self.shared_experts = checks.check_count("shared_experts", shared_experts)
        self.gate_dropout = checks.check_in_range("gate_dropout", gate_dropout, low=0, high=1, closed="left")
        self.last = last
        self.seed = seed
        of_experts, of_gates, of_dropout = sub_seeds(seed, 3)
        sizes = [task_experts] * num_tasks + [shared_experts]
        self.group_of_expert = np.repeat(np.arange(num_tasks + 1), sizes)
        total = sum(sizes)
        self.experts = Experts(
            input_width, total, units=units, dropout=dropout, seed=of_experts, dtype=self.dtype_policy
        )
        self.input_spec = keras.layers.InputSpec(axes={-1: self.experts.input_width})
        generator = np.random.default_rng(of_gates)
        shape: tuple[int, ...] = (num_tasks, input_width, task_experts + shared_experts)
        self.task_gates = self.add_weight(name="task_gates", shape=shape, initializer="zeros")
        self.task_gates.assign(glorot_kernels(generator, *shape))
        self.shared_gate = None
        if not last:
            shape = (input_width, total)
            self.shared_gate = self.add_weight(name="shared_gate", shape=shape, initializer="zeros")
            self.shared_gate.assign(glorot_kernels(generator, *shape))
        self.seed_generator = keras.random.SeedGenerator(of_dropout)
        self.built = True

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        """Return (tasks, batch, units[-1]), with a last row for the shared vector unless `last`.

        `x` is of shape (batch, input_width), or (tasks + 1, batch, input_width) from a level before.
        """
        first = len(x.shape) == 2
        experts = self.experts(x if first else ops.take(x, self.group_of_expert, axis=0), training=training)
        of_tasks, shared = experts[: -self.shared_experts], experts[-self.shared_experts :]
        own = ops.reshape(of_tasks, (self.num_tasks, self.task_experts, -1, experts.shape[-1]))
        gates = self._gates(x if first else x[:-1], self.task_gates, training)
        mixed = ops.einsum("kbe,kebo->kbo", gates[..., : self.task_experts], own)
        mixed = mixed + ops.einsum("kbe,ebo->kbo", gates[..., self.task_experts :], shared)
        if self.shared_gate is None:
            return mixed
        gate = self._gates(x if first else x[-1], self.shared_gate, training)
        return ops.concatenate([mixed, ops.einsum("be,ebo->bo", gate, experts)[None]])

    def _gates(self, x: Tensor, kernel: Tensor, training: bool) -> Tensor:
        rate = self.gate_dropout if training else 0.0
        return gate_weights(ops.matmul(x, kernel), dropout=rate, seed=self.seed_generator)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "input_width": self.experts.input_width,
            "num_tasks": self.num_tasks,
            "task_experts": self.task_experts,
            "shared_experts": self.shared_experts,
            "units": list(self.experts.units),
            "dropout": self.experts.dropout,
            "gate_dropout": self.gate_dropout,
            "last": self.last,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable(package="sparselabels")
class PLE(keras.layers.Layer):
    r"""Progressive layered extraction, a bottom of multi-task models; with one level, CGC.

    A stack of levels :class:`CustomizedGateControl`. Each task and the shared group hand their vector on to
    their own experts and gate of the next level; the first level's are all given :math:`x`.

    Parameters
    ----------
    input_width : int
    num_tasks : int
    num_levels : int, default=2
    task_experts : int, default=2
        Experts of each task in each level.
    shared_experts : int, default=2
        Experts of all tasks in each level.
    units : sequence of int, default=(256, 128)
        Widths of the layers of each expert.
    dropout : float, default=0.0
        Rate of dropout after each layer of the experts, in [0, 1).
    gate_dropout : float, default=0.0
        Chance that a gate does not see an expert, as in :class:`MMoE`.
    seed : int, optional
        Of the first weights and of dropout.

    Attributes
    ----------
    output_width : int
        Width of each task's vector, ``units[-1]``.

    Raises
    ------
    ValueError
        If a number is out of range or `units` is empty.

    References
    ----------
    Tang et al. (2020), Progressive layered extraction (PLE): a novel multi-task learning model for
    personalized recommendations, RecSys.

    Examples
    --------
    >>> import numpy as np
    >>> bottom = PLE(4, 2, units=(8,), seed=0)
    >>> [tuple(vectors.shape) for vectors in bottom(np.ones((5, 4), "float32"))]
    [(5, 8), (5, 8)]
    """

    def __init__(
        self,
        input_width: int,
        num_tasks: int,
        *,
        num_levels: int = 2,
        task_experts: int = 2,
        shared_experts: int = 2,
        units: Sequence[int] = (256, 128),
        dropout: float = 0.0,
        gate_dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.input_width = checks.check_count("input_width", input_width)
        self.num_tasks = checks.check_count("num_tasks", num_tasks)
        self.num_levels = checks.check_count("num_levels", num_levels)
        self.seed = seed
        self.input_spec = keras.layers.InputSpec(ndim=2, axes={-1: self.input_width})
        self.levels = []
        width = self.input_width
        for place, seed_of_level in enumerate(sub_seeds(seed, self.num_levels), start=1):
            level = CustomizedGateControl(
                width,
                self.num_tasks,
                task_experts=task_experts,
                shared_experts=shared_experts,
                units=units,
                dropout=dropout,
                gate_dropout=gate_dropout,
                last=place == self.num_levels,
                seed=seed_of_level,
                dtype=self.dtype_policy,
            )
            self.levels.append(level)
            width = level.experts.units[-1]
        self.output_width = width
        self.built = True

    def call(self, x: Tensor, training: bool = False) -> list[Tensor]:
        """Return a tensor of shape (batch, output_width) for each task."""
        for level in self.levels:
            x = level(x, training=training)
        return [x[task] for task in range(self.num_tasks)]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        level = self.levels[0]
        return {
            **super().get_config(),
            "input_width": self.input_width,
            "num_tasks": self.num_tasks,
            "num_levels": self.num_levels,
            "task_experts": level.task_experts,
            "shared_experts": level.shared_experts,
            "units": list(level.experts.units),
            "dropout": level.experts.dropout,
            "gate_dropout": level.gate_dropout,
            "seed": self.seed,
        }
