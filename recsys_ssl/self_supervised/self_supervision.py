"""Self-supervised learning of items beside the main task, for any item tower.

Yao et al., Self-supervised Learning for Large-scale Item Recommendations, CIKM 2021, arXiv:2007.12865.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from recsys_ssl.encoding.feature_embedding import check_specification
from recsys_ssl.encoding.feature_tower import FeatureTower
from recsys_ssl.losses.contrastive_losses import (
    alignment,
    info_nce,
    nt_xent,
    spread_out_softmax,
    spread_out_square,
    symmetric_info_nce,
)
from recsys_ssl.self_supervised.feature_masking import (
    correlated_masks,
    draw_mask,
    drop_values,
    mask_fields,
    vectors_of_views,
)
from sparse_data import checks
from sparse_data.type_checks import check_layer_seed, check_names

Tensor = Any
MASKINGS = ("cfm", "rfm", "none")
LOSSES = ("info_nce", "symmetric", "nt_xent", "spread_out", "spread_out_square")
HEADS = ("tower", "shared", "separate")


@keras.saving.register_keras_serializable(package="sparselabels")
class SelfSupervision(keras.layers.Layer):
    r"""Contrastive task on two complementary views of items drawn uniformly from the catalogue.

    Of an item *x* the view *h* masks a set of fields :math:`F_m` and the view *g* all others; every value of
    a multi-valued field is dropped with a probability besides. With the item tower's vectors
    :math:`z_i = I(h(x_i))`, :math:`z'_i = I(g(x_i))` and the cosine *s*,

    .. math::

        L_{self} = -\frac1N \sum_i \log
        \frac{\exp(s(z_i, z'_i) / \tau)}{\sum_j \exp(s(z_i, z'_j) / \tau)},
        \qquad L = L_{main} + \alpha L_{self}.

    Masks are random halves (``"rfm"``) or a random seed field with those that share most mutual information
    with it (``"cfm"``), drawn anew for every batch. Without masks and with the loss ``"spread_out"`` this is
    the regularisation by spreading vectors out.

    Parameters
    ----------
    masking : {"cfm", "rfm", "none"}, default="cfm"
    weight : float, default=0.1
        :math:`\alpha`, at least 0. The sparser the data, the larger.
    temperature : float, default=0.1
        :math:`\tau`, above 0.
    value_dropout : float, default=0.1
        Probability of dropping a value, in [0, 1).
    loss : {"info_nce", "symmetric", "nt_xent", "spread_out", "spread_out_square"}, default="info_nce"
        The paper's; the mean of both directions; that of SimCLR; both forms of spread-out regularisation.
    heads : {"tower", "shared", "separate"}, default="tower"
        What encodes a view: the item tower, or besides one linear layer for both views, or one for each.
    seed : int, optional
        Of masks, dropped values and heads.

    Raises
    ------
    ValueError
        If a name is unknown, a number out of range, or masking is asked for with a spread-out loss; at a
        call, if :meth:`adapt` has not told the fields.

    References
    ----------
    Yao et al. (2021), Self-supervised learning for large-scale item recommendations, arXiv:2007.12865.
    Zhang et al. (2017), Learning spread-out local feature descriptors, arXiv:1708.06320.

    Examples
    --------
    >>> import numpy as np
    >>> from recsys_ssl import FeatureTower
    >>> fields = [{"name": name, "kind": "category", "num_rows": 9} for name in ("brand", "colour", "size")]
    >>> task = SelfSupervision(masking="rfm", seed=0).adapt(fields)
    >>> items = {entry["name"]: np.arange(3, 9) for entry in fields}
    >>> terms = task(items, item_tower=FeatureTower(fields, 4, seed=0))
    >>> sorted(terms)
    ['alignment', 'self_loss']
    """

    def __init__(
        self,
        masking: str = "cfm",
        weight: float = 0.1,
        temperature: float = 0.1,
        value_dropout: float = 0.1,
        *,
        loss: str = "info_nce",
        heads: str = "tower",
        seed: int | None = None,
        specification: Sequence[Mapping[str, Any]] | None = None,
        masks: ArrayLike | None = None,
        identifiers: Sequence[int] = (),
        dim: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.masking = checks.check_one_of("masking", masking, MASKINGS)
        self.weight = checks.check_in_range("weight", weight, low=0)
        self.temperature = checks.check_in_range("temperature", temperature, low=0, closed="neither")
        self.value_dropout = checks.check_in_range(
            "value_dropout", value_dropout, low=0, high=1, closed="left"
        )
        self.loss = checks.check_one_of("loss", loss, LOSSES)
        self.heads = checks.check_one_of("heads", heads, HEADS)
        if loss.startswith("spread_out") and masking != "none":
            raise ValueError(
                f"`masking` must be 'none' with the loss {loss!r}; got {masking!r}. "
                "Spreading out compares items with themselves, unmasked."
            )
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(check_layer_seed("seed", seed))
        if specification is not None:
            check_specification(specification)
        self.specification = None if specification is None else [dict(entry) for entry in specification]
        self.masks = None if masks is None else np.asarray(masks, dtype=bool)
        self.identifiers = [int(place) for place in identifiers]
        self.dim = dim
        self.encoders: list[keras.layers.Layer] = []
        if dim is not None:
            self.make_heads(dim)
        self.built = True

    def adapt(
        self,
        specification: Sequence[Mapping[str, Any]],
        information: ArrayLike | None = None,
        identifiers: Sequence[str] = (),
    ) -> SelfSupervision:
        """Tell the fields of items and how much they say about each other.

        Parameters
        ----------
        specification : sequence of dict
            As made by :meth:`FeatureEncoder.specification`.
        information : array_like of shape (k, k), optional
            Mutual information between the fields, needed for ``"cfm"``; see
            :func:`~recsys_ssl.field_information`.
        identifiers : sequence of str, default=()
            Names of fields that tell items apart by themselves, such as the id.

        Returns
        -------
        SelfSupervision
            Itself.

        Raises
        ------
        ValueError
            If masking is asked for and there is one field alone, or what ``"cfm"`` needs is missing.
        """
        check_specification(specification)
        identifiers = check_names("identifiers", identifiers)
        fields = [dict(entry) for entry in specification]
        names = [entry["name"] for entry in fields]
        if self.masking != "none" and len(fields) < 2:
            raise ValueError(
                f"`specification` must have two fields or more to mask; got {len(fields)}. Add features, "
                "or use masking='none' with loss='spread_out'."
            )
        unknown = sorted(set(identifiers) - set(names))
        if unknown:
            raise ValueError(f"`identifiers` must be among {names}; got {unknown}. Name fields of the items.")
        places = [names.index(name) for name in identifiers]
        masks = None
        if self.masking == "cfm":
            if information is None:
                raise ValueError(
                    "`information` must be given for 'cfm'; got None. Pass field_information(...).adjusted."
                )
            masks = correlated_masks(information, places)
            if masks.shape[1] != len(fields):
                raise ValueError(
                    f"`information` must be of shape ({len(fields)}, {len(fields)}); got "
                    f"{np.shape(information)}. Pass one row and column a field."
                )
        self.specification, self.masks, self.identifiers = fields, masks, places
        return self

    def terms(self) -> tuple[str, ...]:
        """Return the names of what a call gives."""
        return ("self_loss",) if self.loss.startswith("spread_out") else ("self_loss", "alignment")

    def make_heads(self, dim: int) -> None:
        """Make the layers on top of the tower's vectors of length ``dim``, where there are any."""
        self.dim = checks.check_count("dim", dim)
        count = {"tower": 0, "shared": 1, "separate": 2}[self.heads]
        for place in range(count - len(self.encoders)):
            seed = None if self.seed is None else self.seed + place
            kernel = keras.initializers.Orthogonal(seed=seed)
            layer = keras.layers.Dense(dim, use_bias=False, kernel_initializer=kernel)
            layer.build((None, dim))
            self.encoders.append(layer)

    def views(self, features: Mapping[str, Tensor]) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        """Return two views of items; every field is masked in exactly one of them."""
        fields, mask = self._fields_and_mask()
        first, second = features, features
        if mask is not None:
            first = mask_fields(features, fields, mask)
            second = mask_fields(features, fields, ops.logical_not(mask))
        return self._with_dropped(first), self._with_dropped(second)

    def _fields_and_mask(self) -> tuple[list[dict[str, Any]], Tensor | None]:
        if self.specification is None:
            raise ValueError("The fields must be told before training. Call adapt(specification, ...).")
        if self.masking == "none":
            return self.specification, None
        settings: dict[str, Any] = {"masks": self.masks, "identifiers": self.identifiers}
        return self.specification, draw_mask(len(self.specification), self.seed_generator, **settings)

    def _with_dropped(self, features: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        assert self.specification is not None
        return drop_values(features, self.specification, self.value_dropout, self.seed_generator)

    def _vectors_of_views(self, features: Mapping[str, Tensor], item_tower: Any) -> Tensor:
        """Return the vectors of the first view of all items, then those of the second."""
        # Its fields can be had one by one; any other tower, a subclass too, is asked for whole views.
        if self.masking != "none" and type(item_tower) is FeatureTower:
            fields, mask = self._fields_and_mask()
            shown = self._with_dropped(features), self._with_dropped(features)
            vectors = vectors_of_views(*shown, fields, mask, item_tower.embedding)
            return item_tower.vector(vectors, training=True)
        first, second = self.views(features)
        # Both views at once: one lookup, and one update of the rows that they touch.
        return item_tower(
            {name: ops.concatenate([first[name], second[name]], axis=0) for name in first}, training=True
        )

    def call(self, features: Mapping[str, Tensor], *, item_tower: Any) -> dict[str, Tensor]:
        """Return the loss on a batch of items, and the alignment of its views.

        Parameters
        ----------
        features : mapping of str to tensor
            Encoded features of items drawn uniformly, batch first.
        item_tower : keras.Layer

        Returns
        -------
        dict of str to scalar tensor
            ``"self_loss"`` before the weight; where there are two views ``"alignment"``, the mean squared
            distance of the two vectors of an item.
        """
        if self.loss.startswith("spread_out"):
            z = item_tower(features, training=True)
            if self.loss == "spread_out_square":
                return {"self_loss": spread_out_square(z)}
            return {"self_loss": ops.mean(spread_out_softmax(z, self.temperature))}
        z, z_prime = ops.split(self._vectors_of_views(features, item_tower), 2, axis=0)
        if self.encoders:
            z, z_prime = self.encoders[0](z), self.encoders[-1](z_prime)
        measure = {"info_nce": info_nce, "symmetric": symmetric_info_nce, "nt_xent": nt_xent}[self.loss]
        loss = ops.mean(measure(z, z_prime, self.temperature))
        return {"self_loss": loss, "alignment": alignment(z, z_prime)}

    def __deepcopy__(self, memo: dict[int, Any]) -> SelfSupervision:
        # `sklearn.clone` copies parameters; Keras's own way goes through an archive.
        copy: SelfSupervision = type(self).from_config(self.get_config())
        return copy

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments and what :meth:`adapt` was told."""
        return {
            **super().get_config(),
            "masking": self.masking,
            "weight": self.weight,
            "temperature": self.temperature,
            "value_dropout": self.value_dropout,
            "loss": self.loss,
            "heads": self.heads,
            "seed": self.seed,
            "specification": self.specification,
            "masks": None if self.masks is None else self.masks.tolist(),
            "identifiers": self.identifiers,
            "dim": self.dim,
        }
