"""The files of a saved classifier of clicks and conversions."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from recsys_ssl.encoding import features
from recsys_ssl.encoding.feature_encoder import FeatureEncoder
from recsys_ssl.funnels.entire_space_classifier import EntireSpaceClassifier
from recsys_ssl.funnels.entire_space_methods import METHODS
from recsys_ssl.funnels.funnel_calibration import FunnelCalibration
from sparse_data.saved_folder import (
    plain_number,
    read_arrays,
    read_folder,
    rebuilding,
    write_arrays,
    write_folder,
    write_text,
)

KIND = "entire-space classifier"
DESCRIPTION, VOCABULARIES, WEIGHTS = "classifier.json", "vocabularies.npz", "weights.npz"
CALIBRATION = "calibration.npz"


def write_entire_space_classifier(model: EntireSpaceClassifier, path: str | os.PathLike[str]) -> None:
    """Write parameters (JSON), vocabularies, maps and weights (npz without pickles), whole or not at all.

    Parameters
    ----------
    model : EntireSpaceClassifier
        Fitted.
    path : path
        New, empty, or an earlier saved classifier.

    Raises
    ------
    FileExistsError
        If something else stands there.
    OSError
        If writing fails; what was there before is left alone.
    TypeError
        If a parameter of the bottom or of the method is neither number nor text.
    """
    declaration, vocabularies = model.encoder_.to_state()
    parameters = model.get_params(deep=False)
    if model.features is not None:
        parameters["features"] = features.to_json(model.features)
    found = model.calibration_
    description = {
        "parameters": parameters,
        # The model as it was built: the parameters may have been set anew since.
        "method": model.method_,
        "model": model.model_.get_config(),
        "features": declaration,
        "calibration": None if found is None else found.kind,
        "monitor": model.monitor_,
        "best_epoch": model.best_epoch_,
        "history": model.history_,
        "interrupted": model.interrupted_,
    }
    text = json.dumps(description, indent=1, default=_plain)
    maps = {} if found is None else {"ctr": found.ctr, "ctcvr": found.ctcvr}
    # Not Keras's own file of weights, which would hold the optimizer's state as well, twice their size.
    weights = {str(place): values for place, values in enumerate(model.model_.get_weights())}
    write_folder(
        path,
        KIND,
        {
            DESCRIPTION: lambda file: write_text(file, text),
            VOCABULARIES: lambda file: write_arrays(file, vocabularies),
            CALIBRATION: lambda file: write_arrays(file, maps),
            WEIGHTS: lambda file: write_arrays(file, weights),
        },
    )


def load_entire_space_classifier(path: str | os.PathLike[str]) -> EntireSpaceClassifier:
    """Read what `EntireSpaceClassifier.save` wrote, on any Keras backend.

    Parameters
    ----------
    path : path

    Returns
    -------
    EntireSpaceClassifier
        Fitted; its predictions equal those of the saved one.

    Raises
    ------
    FileNotFoundError
        If there is no folder.
    ValueError
        If it is not a saved classifier, or a file in it is missing, truncated or altered.
    """
    folder = read_folder(path, KIND, files=(DESCRIPTION, VOCABULARIES, CALIBRATION, WEIGHTS))
    with rebuilding(path, KIND):
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        parameters = description["parameters"]
        if parameters["features"] is not None:
            parameters["features"] = features.from_json(parameters["features"])
        parameters["hidden_units"] = tuple(parameters["hidden_units"])
        model = EntireSpaceClassifier(**parameters)
        model.encoder_ = FeatureEncoder.from_state(
            description["features"], read_arrays(folder / VOCABULARIES)
        )
        model.method_ = description["method"]
        kind, _ = METHODS[model.method_]
        model.model_ = kind.from_config(description["model"])
        weights = read_arrays(folder / WEIGHTS)
        model.model_.set_weights([weights[str(place)] for place in range(len(weights))])
        model.calibration_ = None
        if description["calibration"] is not None:
            maps = read_arrays(folder / CALIBRATION)
            model.calibration_ = FunnelCalibration(description["calibration"], maps["ctr"], maps["ctcvr"])
        for name in ("monitor", "best_epoch", "history", "interrupted"):
            setattr(model, f"{name}_", description[name])
        model.classes_ = np.arange(3)
    return model


def _plain(value: Any) -> Any:
    """Return a NumPy number, as a parameter search sets them, as one of Python's; a mapping as a dict."""
    return dict(value) if isinstance(value, Mapping) else plain_number(value)
