"""The files of a saved classifier of two networks: JSON and arrays, no pickles."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from noisy_labels.co_teaching import CoTeachingClassifier
from noisy_labels.co_teaching_plus import CoTeachingPlus
from noisy_labels.compression_path import CompressionPath
from noisy_labels.divide_mix import DivideMixClassifier
from noisy_labels.jocor import JoCoR
from noisy_labels.paired_classifier import PairedClassifier
from noisy_labels.paired_networks import PairedNetworks

KIND, VERSION = "classifier of two networks", 1
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
    target = Path(path).resolve()
    if target.exists() and not (target.is_dir() and (_is_saved(target) or not any(target.iterdir()))):
        raise FileExistsError(
            f"`path` must be new, empty or a saved {KIND}; got {str(target)!r}, which is something else. "
            "Choose another path."
        )
    arrays = {f"weight_{i}": values for i, values in enumerate(model.networks_.get_weights())}
    if model.path_ is not None:
        arrays["path_accuracy"] = model.path_.accuracy
    description = _description(model)
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        with open(fresh / ARRAYS, "wb") as stream:
            np.savez(stream, **arrays)
        description["sha256"] = _checksum(fresh / ARRAYS)
        text = json.dumps(description, indent=1, default=_plain)
        (fresh / DESCRIPTION).write_text(text, encoding="utf-8")
        fresh.chmod(0o755)  # mkdtemp's folders are private
        earlier = fresh.with_name(f"{fresh.name}.earlier")
        if target.exists():
            target.rename(earlier)
        try:
            fresh.rename(target)
        except OSError:
            if earlier.exists():
                earlier.rename(target)
            raise
        shutil.rmtree(earlier, ignore_errors=True)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


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
    folder = Path(path)
    if not folder.exists():
        raise FileNotFoundError(f"`path` must be an existing folder; got {str(path)!r}. Check the path.")
    if not _is_saved(folder):
        raise ValueError(
            f"`path` must be a saved {KIND}; got {str(path)!r}. Pass the folder that `save` wrote."
        )
    description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    if description["version"] > VERSION:
        raise ValueError(
            f"`path` must be of format {VERSION} or older; got format {description['version']}. Update "
            "sparselabels to read it."
        )
    if not (folder / ARRAYS).is_file() or _checksum(folder / ARRAYS) != description["sha256"]:
        raise ValueError(
            f"`path` must be a complete {KIND}; got {str(path)!r}, where {ARRAYS!r} is missing or altered. "
            "Save it again, or restore a copy."
        )
    with np.load(folder / ARRAYS, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    return _rebuilt(description, arrays)


def _description(model: PairedClassifier) -> dict[str, Any]:
    parameters = {
        name: _to_json(value)
        for name, value in model.get_params(deep=False).items()
        if name not in _NOT_SAVED
    }
    path = model.path_
    networks: PairedNetworks = model.networks_
    return {
        "kind": KIND,
        "version": VERSION,
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


def _is_saved(folder: Path) -> bool:
    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(description, dict) and description.get("kind") == KIND


def _checksum(file: Path) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _plain(value: Any) -> Any:
    """Return a NumPy number, as a parameter search sets them, as one of Python's."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a saved classifier holds numbers, text and Keras layers; got {type(value).__name__}")
