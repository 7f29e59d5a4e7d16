"""The files of a saved retriever."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from scipy.sparse import csr_array

from recsys_ssl.encoding import features
from recsys_ssl.encoding.entity_features import EntityFeatures
from recsys_ssl.retrieval.retriever import TwoTowerRetriever
from recsys_ssl.retrieval.two_tower import TwoTower
from sparse_data.saved_folder import (
    plain_number,
    read_arrays,
    read_folder,
    rebuilding,
    write_arrays,
    write_folder,
    write_text,
)

KIND = "two-tower retriever"
DESCRIPTION, INDEX, WEIGHTS = "retriever.json", "index.npz", "towers.npz"
VOCABULARIES = {"user": "user_vocabularies.npz", "item": "item_vocabularies.npz"}
KERAS_PARAMETERS = ("loss", "self_supervision")
_FEATURE_PARAMETERS = ("user_features", "item_features")


def write_retriever(model: TwoTowerRetriever, path: str | os.PathLike[str]) -> None:
    """Write parameters (JSON), arrays and tower weights (npz without pickles), whole or not at all.

    Parameters
    ----------
    model : TwoTowerRetriever
        Fitted.
    path : path
        New, empty, or an earlier saved retriever.

    Raises
    ------
    FileExistsError
        If something else stands there.
    OSError
        If writing fails; what was there before is left alone.
    """
    user_declaration, user_arrays = model.user_encoder_.to_state()
    item_declaration, item_arrays = model.item_encoder_.to_state()
    description = {
        "parameters": _parameters_to_json(model),
        # The towers as they were built: the parameters may have been set anew since.
        "model": model.model_.get_config(),
        "user_features": user_declaration,
        "item_features": item_declaration,
        "best_epoch": model.best_epoch_,
        "history": model.history_,
        "interrupted": model.interrupted_,
    }
    index = {
        "user_ids": model.user_ids_,
        "item_ids": model.item_ids_,
        "user_factors": model.user_factors_,
        "item_factors": model.item_factors_,
        "popularity": model.popularity_,
        "seen_indptr": model.seen_.indptr,
        "seen_indices": model.seen_.indices,
    }
    # Not Keras's own file of weights, which would hold the optimizer's state as well, twice their size.
    weights = {str(place): values for place, values in enumerate(model.model_.get_weights())}
    files: dict[str, Callable[[Path], None]] = {
        DESCRIPTION: lambda file: _write_json(file, description),
        VOCABULARIES["user"]: lambda file: write_arrays(file, user_arrays),
        VOCABULARIES["item"]: lambda file: write_arrays(file, item_arrays),
        INDEX: lambda file: write_arrays(file, index),
        WEIGHTS: lambda file: write_arrays(file, weights),
    }
    write_folder(path, KIND, files)


def load_retriever(path: str | os.PathLike[str]) -> TwoTowerRetriever:
    """Read what `TwoTowerRetriever.save` wrote, on any Keras backend.

    Parameters
    ----------
    path : path

    Returns
    -------
    TwoTowerRetriever
        Fitted; its recommendations equal those of the saved one.

    Raises
    ------
    FileNotFoundError
        If there is no folder.
    ValueError
        If it is not a saved retriever, or a file in it is missing, truncated or altered.
    """
    folder = read_folder(path, KIND, files=(DESCRIPTION, INDEX, WEIGHTS, *VOCABULARIES.values()))
    with rebuilding(path, KIND):
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        model = TwoTowerRetriever(**_parameters_from_json(description["parameters"]))
        for side, file in VOCABULARIES.items():
            arrays = read_arrays(folder / file)
            encoder = EntityFeatures.from_state(f"{side}_id", description[f"{side}_features"], arrays)
            setattr(model, f"{side}_encoder_", encoder)
        index = read_arrays(folder / INDEX)
        model.user_ids_, model.item_ids_ = index["user_ids"], index["item_ids"]
        model.user_factors_, model.item_factors_ = index["user_factors"], index["item_factors"]
        model.popularity_ = index["popularity"]
        data = np.ones(len(index["seen_indices"]), dtype=np.bool_)
        shape = (len(model.user_ids_), len(model.item_ids_))
        model.seen_ = csr_array((data, index["seen_indices"], index["seen_indptr"]), shape=shape)
        model.model_ = TwoTower.from_config(description["model"])
        weights = read_arrays(folder / WEIGHTS)
        model.model_.set_weights([weights[str(place)] for place in range(len(weights))])
        model.best_epoch_, model.history_ = description["best_epoch"], description["history"]
        model.interrupted_ = description["interrupted"]
    return model


def _parameters_to_json(model: TwoTowerRetriever) -> dict[str, Any]:
    parameters: dict[str, Any] = model.get_params(deep=False)
    for name in _FEATURE_PARAMETERS:
        if parameters[name] is not None:
            parameters[name] = features.to_json(parameters[name])
    parameters["hidden_units"] = list(parameters["hidden_units"])
    for name in KERAS_PARAMETERS:
        if parameters[name] is not None:
            parameters[name] = keras.saving.serialize_keras_object(parameters[name])
    return parameters


def _parameters_from_json(parameters: Mapping[str, Any]) -> dict[str, Any]:
    read = dict(parameters)
    for name in _FEATURE_PARAMETERS:
        if read[name] is not None:
            read[name] = features.from_json(read[name])
    read["hidden_units"] = tuple(read["hidden_units"])
    for name in KERAS_PARAMETERS:
        if read[name] is not None:
            read[name] = keras.saving.deserialize_keras_object(read[name])
    return read


def _write_json(file: Path, content: Any) -> None:
    write_text(file, json.dumps(content, indent=1, default=plain_number))
