"""One tiny fitted model for each kind of saved folder, and what reads the folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Kind(NamedTuple):
    """How a kind of folder is made, read and asked for a number."""

    make: Callable[[], Any]
    load: Callable[[Any], Any]
    answer: Callable[[Any], np.ndarray]


def _retriever() -> Any:
    from recsys_ssl import Category, TwoTowerRetriever
    from sparse_data.datasets import Interactions

    log = Interactions(user_ids=["u", "u", "v", "v", "w"], item_ids=["a", "b", "a", "c", "b"])
    items = {"item_id": np.array(["a", "b", "c"]), "kind": np.array(["x", "y", "x"])}
    brief = {"dim": 2, "epochs": 1, "batch_size": 4, "verbose": False, "validation_fraction": 0.0}
    return TwoTowerRetriever(item_features=[Category("kind")], **brief).fit(log, items=items)


def _classifier() -> Any:
    from recsys_ssl import EntireSpaceClassifier

    shown = {"ad": np.array(["a", "b", "a", "c"] * 3)}
    brief = {"dim": 2, "hidden_units": (2,), "epochs": 1, "verbose": False, "validation_fraction": 0.0}
    return EntireSpaceClassifier(**brief).fit(shown, np.array([1, 1, 0, 1] * 3), np.array([1, 0, 0, 1] * 3))


def _co_teaching() -> Any:
    from noisy_labels import CoTeachingClassifier

    brief = {"epochs": 1, "exchange_epochs": 1, "random_state": 0, "verbose": False, "noise_rate": 0.1}
    x = np.linspace(-1.0, 1.0, 24, dtype="float32")[:, None]
    return CoTeachingClassifier(_small_network, compression=None, **brief).fit(x, (x[:, 0] > 0).astype(int))


def _small_network(shape: Any) -> Any:
    import keras

    return keras.Sequential([keras.Input(shape), keras.layers.Dense(4, "relu")])


def _loader(package: str, name: str) -> Callable[[Any], Any]:
    def load(path: Any) -> Any:
        return getattr(__import__(package), name)(path)

    return load


KINDS = {
    "retriever": Kind(
        _retriever, _loader("recsys_ssl", "load_retriever"), lambda model: model.recommend(["u"], k=1)[1]
    ),
    "entire_space_classifier": Kind(
        _classifier,
        _loader("recsys_ssl", "load_entire_space_classifier"),
        lambda model: model.predict_proba({"ad": np.array(["a", "b"])})["ctcvr"],
    ),
    "co_teaching": Kind(
        _co_teaching,
        _loader("noisy_labels", "load_co_teaching"),
        lambda model: model.predict_proba(np.array([[-0.5], [0.5]], "float32")),
    ),
}
