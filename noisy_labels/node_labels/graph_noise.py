"""Known label noise as a transform of PyG graphs, which keeps the clean labels beside the noisy ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Data, HeteroData
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from noisy_labels.node_labels.topology_noise import topology_noise
from noisy_labels.transitions.noise import corrupt_labels
from sparse_data.checks import check_in_range, check_one_of
from sparse_data.tensor_checks import check_tensor
from sparse_data.type_checks import check_names

GraphNoiseKind = Literal["symmetric", "pair", "asymmetric", "instance", "topology"]


@functional_transform("graph_label_noise")
class GraphLabelNoise(BaseTransform):  # type: ignore[misc]
    """Make the labels of a graph's nodes wrong on purpose.

    Noise is drawn for all known labels and given to the nodes of `masks`.  The graph that is returned has
    ``y_clean``, the labels as they were, and ``noise_mask``, the nodes whose label is wrong now; nodes of
    unknown label (-1) stay so.  The graph that is given stays as it is.

    Parameters
    ----------
    rate : float
        Share of wrong labels, in [0, 1]; see `corrupt_labels` and, for ``"topology"``, `topology_noise`.
    kind : {"symmetric", "pair", "asymmetric", "instance", "topology"}, default="symmetric"
        ``"instance"`` looks at ``x``, ``"topology"`` at ``edge_index``.
    masks : sequence of str or None, default=("train_mask", "val_mask")
        Attributes whose nodes get the noise; None for all nodes.  With a validation part that is clean,
        methods are chosen by what nobody has in practice.
    node_type : str, optional
        Of a `HeteroData`, the kind of nodes that has labels.
    edge_type : (str, str, str), optional
        Of a `HeteroData`, for ``"topology"``: edges that begin and end at `node_type`.
    random_state : int, Generator or None

    References
    ----------
    Wang et al., "NoisyGL: a comprehensive benchmark for graph neural networks under label noise", 2024,
    arXiv:2406.04299.

    Examples
    --------
    >>> data = Data(y=torch.tensor([0, 1, 2, 0]), train_mask=torch.tensor([True, True, False, True]))
    >>> noisy = GraphLabelNoise(1.0, "pair", masks=["train_mask"])(data)
    >>> noisy.y.tolist(), noisy.y_clean.tolist(), noisy.noise_mask.tolist()
    ([1, 2, 2, 1], [0, 1, 2, 0], [True, True, False, True])
    """

    def __init__(
        self,
        rate: float,
        kind: GraphNoiseKind = "symmetric",
        *,
        masks: Sequence[str] | None = ("train_mask", "val_mask"),
        node_type: str | None = None,
        edge_type: tuple[str, str, str] | None = None,
        random_state: int | np.random.Generator | None = None,
    ) -> None:
        check_in_range("rate", rate, 0, 1)
        check_one_of("kind", kind, get_args(GraphNoiseKind))
        if isinstance(masks, str):
            raise TypeError(f"`masks` must be a sequence of names; got {masks!r}. Pass ({masks!r},).")
        self.rate = rate
        self.kind = kind
        self.masks = masks
        self.node_type = node_type
        self.edge_type = edge_type
        self.random_state = random_state

    def forward(self, data: Data | HeteroData) -> Data | HeteroData:
        """Return the graph with noisy labels."""
        nodes = self._nodes(data)
        clean = _labels(nodes)
        codes = clean.cpu().numpy()
        noisy = np.where(self._chosen(nodes, codes.size), self._draw(data, nodes, codes), codes)
        nodes.y_clean = clean
        nodes.y = torch.from_numpy(noisy).to(clean)
        nodes.noise_mask = torch.from_numpy(noisy != codes).to(clean.device)
        return data

    def _nodes(self, data: Any) -> Any:
        if not isinstance(data, HeteroData):
            return data
        if self.node_type not in data.node_types:
            raise ValueError(
                f"`node_type` must be one of {data.node_types} for HeteroData; got {self.node_type!r}. "
                "Name the kind of nodes that has labels."
            )
        return data[self.node_type]

    def _draw(self, data: Any, nodes: Any, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        if self.kind == "topology":
            edges = _attribute(self._edges(data), "edge_index").cpu().numpy()
            return topology_noise(codes, edges, self.rate, random_state=self.random_state)
        features = None
        if self.kind == "instance":
            x = _attribute(nodes, "x")
            features = (x.to_dense() if x.layout != torch.strided else x).cpu().numpy()[codes >= 0]
        noisy = codes.copy()
        known = codes >= 0
        noisy[known] = corrupt_labels(codes[known], self.rate, self.kind, self.random_state, X=features)
        return noisy

    def _edges(self, data: Any) -> Any:
        if not isinstance(data, HeteroData):
            return data
        name, ends = self.edge_type, (self.node_type, self.node_type)
        if name is None or name not in data.edge_types or (name[0], name[2]) != ends:
            raise ValueError(
                f"`edge_type` must be edges between nodes of {self.node_type!r}; got {self.edge_type!r}. "
                f"Choose from {data.edge_types}."
            )
        return data[name]

    def _chosen(self, nodes: Any, n_nodes: int) -> NDArray[np.bool_]:
        if self.masks is None:
            return np.ones(n_nodes, dtype=bool)
        chosen = np.zeros(n_nodes, dtype=bool)
        for name in check_names("masks", self.masks):
            mask = _attribute(nodes, name)
            if mask.dtype != torch.bool or mask.shape != (n_nodes,):
                raise ValueError(
                    f"`{name}` must be a bool a node, shape ({n_nodes},); got {mask.dtype} of "
                    f"{tuple(mask.shape)}. Take one column of several splits."
                )
            chosen |= mask.cpu().numpy()
        return chosen

    def __repr__(self) -> str:
        return f"GraphLabelNoise(rate={self.rate}, kind={self.kind!r}, masks={self.masks})"


def _attribute(store: Any, name: str) -> Tensor:
    if name not in store or store[name] is None:
        raise ValueError(f"`data` must have `{name}`; got none. Add it, or choose other noise or masks.")
    return check_tensor(name, store[name])


def _labels(nodes: Any) -> Tensor:
    y = _attribute(nodes, "y")
    if y.ndim != 1 or y.is_floating_point() or y.dtype == torch.bool or not y.numel():
        raise ValueError(
            f"`y` must be an integer label a node, shape (n_nodes,); got {y.dtype} of {tuple(y.shape)}. "
            "Use .argmax(1) of one-hot labels, .squeeze(1) of a column."
        )
    return y
