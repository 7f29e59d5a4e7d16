"""Linear maps and dropout of features that are known before training, at the cost of what is not zero."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from graph.fixed_matrix import FixedMatrix
from sparse_data.sparse_features import Features, SparseRows, project, read_features

_STEPS = 1 << 16  # of the chance that an entry is dropped


class KnownFeatures(TorchFunctionMode):
    """Inside, a linear map of given features is a sparse product where few of their values are not 0.

    A network calls ``torch.nn.functional.linear`` and ``dropout`` as ever; what they return is the same, by
    the same rule that dense features are kept dense.  What a prediction maps is not mapped again by the
    training step that follows it, so no weight may change between the two.

    Dropout on the CPU draws its masks from a generator of NumPy's, which takes a tenth of the time; it is
    seeded with PyTorch's.

    Parameters
    ----------
    features : iterable of tensors of shape (n_nodes, n_features)
        Recognised by identity; others than float matrices are left alone.
    """

    def __init__(self, features: Iterable[Tensor]) -> None:
        super().__init__()
        self._known = [(x, read_features(x)) for x in {id(x): x for x in features}.values() if _is_matrix(x)]
        self._fixed = {
            id(known): FixedMatrix(known.pattern, known.values)
            for _, known in self._known
            if isinstance(known, SparseRows)
        }
        self._dropped: tuple[Tensor, Features] | None = None
        self._ahead: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        self._generator = np.random.Generator(np.random.SFC64(int(torch.randint(2**62, ()))))

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Replace two functions and call every other one."""
        if func is torch.nn.functional.linear:
            return self._linear(*args, **(kwargs or {}))
        if func is torch.nn.functional.dropout:
            return self._dropout(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def features_of(self, x: Tensor) -> Features | None:
        """Return features as they are known, None for any other tensor."""
        known = self._known if self._dropped is None else [*self._known, self._dropped]
        return next((features for tensor, features in known if tensor is x), None)

    def _linear(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        features = self.features_of(input)
        if features is None:
            return torch.nn.functional.linear(input, weight, bias)
        key = id(input), id(weight)
        _, product = self._ahead.pop(key, (None, None))
        if product is None:
            with torch.enable_grad():  # also for the step to come
                product = self._project(features, weight)
            if product.requires_grad and not torch.is_grad_enabled():
                self._ahead[key] = weight, product  # a weight that is kept cannot lend its identity
        return product if bias is None else product + bias

    def _project(self, features: Features, weight: Tensor) -> Tensor:
        fixed = self._fixed.get(id(features))
        return project(features, weight) if fixed is None else fixed.times(weight.T.contiguous())

    def _dropout(self, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        if not training or inplace or not 0 < p < 1 or not input.is_cpu:
            return torch.nn.functional.dropout(input, p, training, inplace)
        features = self.features_of(input)
        if not isinstance(features, SparseRows):
            return input * self._scales(input, p)
        thinned = SparseRows(features.pattern, features.values * self._scales(features.values, p))
        dense = thinned.dense()
        self._dropped = dense, thinned
        return dense

    def _scales(self, values: Tensor, p: float) -> Tensor:
        """Return 0 with the chance p, to 1/65536, and else what keeps the mean."""
        n_dropped = round(p * _STEPS)
        if 2 * n_dropped == _STEPS:  # a bit a value will do
            bits = np.frombuffer(self._generator.bytes(values.numel() // 8 + 1), dtype=np.uint8)
            kept = np.unpackbits(bits, count=values.numel())
        else:
            draws = np.frombuffer(self._generator.bytes(2 * values.numel()), dtype=np.uint16)
            kept = (draws >= n_dropped).view(np.uint8)
        return torch.from_numpy(kept).view(values.shape).to(values.dtype).mul_(_STEPS / (_STEPS - n_dropped))


def _is_matrix(x: Any) -> bool:
    return isinstance(x, Tensor) and x.layout == torch.strided and x.ndim == 2 and x.is_floating_point()
