"""The files of a saved classifier of two networks: JSON and arrays, no pickles."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

import keras
import numpy as np

from noisy_labels.compression.compression_path import CompressionPath
from noisy_labels.two_networks.co_teaching import CoTeachingClassifier
from noisy_labels.two_networks.co_teaching_plus import CoTeachingPlus
from noisy_labels.two_networks.divide_mix import DivideMixClassifier
from noisy_labels.two_networks.jocor import JoCoR
from noisy_labels.two_networks.paired_classifier import PairedClassifier
from noisy_labels.two_networks.paired_networks import PairedNetworks
from sparse_data.saved_folder import (
    plain_number,
    read_arrays,
    read_folder,
    rebuilding,
    write_arrays,
    write_folder,
    write_text,
)

KIND = "classifier of two networks"
DESCRIPTION, ARRAYS = "classifier.json", "arrays.npz"
CLASSES = {kind.__name__: kind for kind in (CoTeachingClassifier, DivideMixClassifier)}
RULES = {rule.__name__: rule for rule in (CoTeachingPlus, JoCoR)}
_NOT_SAVED = ("build_model", "random_state", "augment")


class RebuiltNetwork:
    """What stands for `build_model` in a classifier that was loaded: the same layers, new weights.

    Parameters
    ----------
    config : dict
        Of a Keras model.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config

    def __call__(self, input_shape: tuple[int, ...]) -> keras.Model:
        """Build the network anew; `input_shape` must be the one it was made for."""
        network: keras.Model = keras.saving.deserialize_keras_object(self.config)
        if tuple(network.input_shape[1:]) != tuple(input_shape):
            raise ValueError(
                f"`X` must hold rows of shape {network.input_shape[1:]}, for which it was built; got "
                f"{input_shape}. Set `build_model` anew."
            )
        return network


def write_classifier(model: PairedClassifier, path: str | os.PathLike[str]) -> None:
    """Write a fitted classifier into a folder that appears under its name only when it is complete.

    `random_state` and functions are not saved; the loaded classifier's `build_model` makes the same layers.

    Parameters
    ----------
    model : CoTeachingClassifier or DivideMixClassifier
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
        If a parameter or a layer cannot be written.
    """
    text = json.dumps(_description(model), indent=1, default=plain_number)
    arrays = {f"weight_{i}": values for i, values in enumerate(model.networks_.get_weights())}
    if model.path_ is not None:
        arrays["path_accuracy"] = model.path_.accuracy
    write_folder(
        path,
        KIND,
        {DESCRIPTION: lambda file: write_text(file, text), ARRAYS: lambda file: write_arrays(file, arrays)},
    )


def load_co_teaching(path: str | os.PathLike[str]) -> Any:
    """Read what `save` of a classifier of two networks wrote, on any Keras backend.

    Parameters
    ----------
    path : path

    Returns
    -------
    CoTeachingClassifier or DivideMixClassifier
        Fitted; it predicts what the saved one did.

    Raises
    ------
    FileNotFoundError
        If there is no folder.
    ValueError
        If it is not a saved classifier, of a newer format, or truncated or altered.
    """
    folder = read_folder(path, KIND, files=(DESCRIPTION, ARRAYS))
    with rebuilding(path, KIND):
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        return _rebuilt(description, read_arrays(folder / ARRAYS))


def _description(model: PairedClassifier) -> dict[str, Any]:
    parameters = {
        name: _to_json(value)
        for name, value in model.get_params(deep=False).items()
        if name not in _NOT_SAVED
    }
    path = model.path_
    networks: PairedNetworks = model.networks_
    return {
        "class": type(model).__name__,
        "parameters": parameters,
        "networks": networks.get_config(),
        "classes": model.classes_.tolist(),
        "classes_dtype": model.classes_.dtype.str,
        "noise_rate": model.noise_rate_,
        "n_features_in": model.n_features_in_,
        "history": model.history_,
        "path": None if path is None else {**dataclasses.asdict(path), "accuracy": None},
    }


def _rebuilt(description: dict[str, Any], arrays: dict[str, Any]) -> Any:
    parameters = {name: _from_json(value) for name, value in description["parameters"].items()}
    config = description["networks"]
    model = CLASSES[description["class"]](RebuiltNetwork(config["first"]), **parameters)
    model.networks_ = PairedNetworks.from_config(config)
    n_weights = sum(name.startswith("weight_") for name in arrays)
    model.networks_.set_weights([arrays[f"weight_{i}"] for i in range(n_weights)])
    model.classes_ = np.array(description["classes"], dtype=np.dtype(description["classes_dtype"]))
    model.noise_rate_, model.history_ = description["noise_rate"], description["history"]
    model.n_features_in_ = description["n_features_in"]
    path = description["path"]
    model.path_ = None if path is None else CompressionPath(**{**path, "accuracy": arrays["path_accuracy"]})
    return model


def _to_json(value: Any) -> Any:
    if isinstance(value, keras.layers.Layer):
        return {"layer": keras.saving.serialize_keras_object(value)}
    if isinstance(value, (CoTeachingPlus, JoCoR)):
        return {"rule": type(value).__name__, **dataclasses.asdict(value)}
    return value


def _from_json(value: Any) -> Any:
    if isinstance(value, dict) and "layer" in value:
        return keras.saving.deserialize_keras_object(value["layer"])
    if isinstance(value, dict) and "rule" in value:
        fields = dict(value)
        return RULES[fields.pop("rule")](**fields)
    return value
