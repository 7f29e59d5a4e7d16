"""Methods of the funnel by the names under which papers compare them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from numpy.typing import ArrayLike

from recsys_ssl.entire_space.aitm import AITM
from recsys_ssl.entire_space.aman import AMAN
from recsys_ssl.entire_space.averaged_esmm import AveragedESMM
from recsys_ssl.entire_space.clicked_only import ClickedOnly
from recsys_ssl.entire_space.dcmt import DCMT
from recsys_ssl.entire_space.division import Division
from recsys_ssl.entire_space.end_to_end import EndToEnd
from recsys_ssl.entire_space.entire_space_model import EntireSpaceModel
from recsys_ssl.entire_space.escm2 import ESCM2
from recsys_ssl.entire_space.esm2 import ESM2
from recsys_ssl.entire_space.esmm import ESMM
from recsys_ssl.entire_space.mmoe import MMoE
from recsys_ssl.entire_space.nise import NISE
from recsys_ssl.entire_space.oversampling import Oversampling
from recsys_ssl.entire_space.ple import PLE
from recsys_ssl.entire_space.shared_bottom import SharedBottom
from recsys_ssl.entire_space.unbias import Unbias
from sparse_data import checks

# The class of a method, and what distinguishes it from others of the class.
METHODS: dict[str, tuple[type[EntireSpaceModel], dict[str, Any]]] = {
    "base": (ClickedOnly, {}),
    "shared": (ClickedOnly, {"shared_tables": True}),
    "aman": (AMAN, {}),
    "oversampling": (Oversampling, {}),
    "unbias": (Unbias, {}),
    "division": (Division, {}),
    "esmm_ns": (ESMM, {"shared_tables": False}),
    "esmm": (ESMM, {}),
    "averaged_esmm": (AveragedESMM, {}),
    "esm2": (ESM2, {}),
    "escm2_ips": (ESCM2, {"estimator": "ips"}),
    "escm2_snips": (ESCM2, {"estimator": "snips"}),
    "escm2_dr": (ESCM2, {"estimator": "dr"}),
    "dcmt": (DCMT, {}),
    "nise": (NISE, {}),
    "aitm": (EndToEnd, {}),
}
BOTTOMS: dict[str, Any] = {"shared": SharedBottom, "mmoe": MMoE, "ple": PLE, "aitm": AITM}


def entire_space_model(
    method: str,
    specification: Sequence[dict[str, Any]],
    *,
    bottom: str | None = None,
    bottom_parameters: Mapping[str, Any] | None = None,
    method_parameters: Mapping[str, Any] | None = None,
    dim: int = 18,
    hidden_units: Sequence[int] = (360, 200, 80),
    seed: int = 0,
) -> EntireSpaceModel:
    """Make the model of a method.

    Parameters
    ----------
    method : str
        A key of ``METHODS``.
    specification : sequence of dict
        As of :meth:`FeatureEncoder.specification`.
    bottom : {"shared", "mmoe", "ple", "aitm"}, optional
        What stands between the fields and the towers; ``"aitm"``, a method and a bottom, has it anyway.
    bottom_parameters, method_parameters : mapping, optional
        Further arguments of the bottom, such as ``num_experts``, and of the method's class, such as ``alpha``
        or ``dropout``.
    dim, hidden_units, seed
        As of :class:`~recsys_ssl.entire_space.entire_space_model.EntireSpaceModel`.

    Returns
    -------
    EntireSpaceModel

    Raises
    ------
    TypeError
        If a class has no such parameter.
    ValueError
        If the method or the bottom is unknown, or the method has two separate networks and a bottom is asked
        for, or there are parameters of a bottom and no bottom.

    Examples
    --------
    >>> specification = [{"name": "item", "kind": "category", "num_rows": 9}]
    >>> entire_space_model("escm2_dr", specification, bottom="mmoe", dim=4, hidden_units=(8,)).tasks
    ('ctr', 'cvr', 'imputation')
    """
    if not isinstance(hidden_units, Sequence) or isinstance(hidden_units, str):
        raise TypeError(f"`hidden_units` must be a sequence of int; got {hidden_units!r}. Wrap it: (64,).")
    kind, fixed = METHODS[checks.check_one_of("method", method, tuple(METHODS))]
    name = "aitm" if method == "aitm" and bottom is None else bottom
    checks.check_one_of("bottom", name, (None, *BOTTOMS))
    if name is None and bottom_parameters:
        raise ValueError(
            f"`bottom_parameters` must be of a bottom; got {dict(bottom_parameters)} and none. "
            f"Choose a bottom out of {list(BOTTOMS)}."
        )
    layer = None if name is None else partial(BOTTOMS[name], seed=seed, **(bottom_parameters or {}))
    given = {**fixed, **(method_parameters or {})}
    separate = method in ("base", "aman", "oversampling", "unbias", "division", "esmm_ns")
    if layer is not None and not given.get("shared_tables", not separate):
        raise ValueError(
            f"`bottom` must be None for {method!r}, whose networks share nothing; got {bottom!r}. "
            "Leave it out, or pass method_parameters={'shared_tables': True}."
        )
    model: EntireSpaceModel = kind(
        specification, dim=dim, hidden_units=tuple(hidden_units), bottom=layer, seed=seed, **given
    )
    return model


def labels_of(
    method: str, clicks: ArrayLike, conversions: ArrayLike, actions: ArrayLike | None = None
) -> dict[str, ArrayLike]:
    """Return the labels that a method learns from, by name.

    Raises
    ------
    ValueError
        If it needs actions and there are none.

    Examples
    --------
    >>> labels_of("esmm", [1, 0], [0, 0], actions=[1, 0])
    {'click': [1, 0], 'conversion': [0, 0]}
    """
    labels = {"click": clicks, "conversion": conversions}
    if "action" in METHODS[method][0].labels:
        if actions is None:
            raise ValueError(
                f"`actions` must be given for {method!r}; got None. Pass whether a click was followed by an "
                "action such as a cart, or take the method 'esmm'."
            )
        labels["action"] = actions
    return labels
