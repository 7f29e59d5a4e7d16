"""Run by a test in a process of its own: networks of two on another backend than the test's.

python paired_backends_script.py FOLDER [saved folders of other backends]
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
from sklearn.utils.estimator_checks import check_estimator

from noisy_labels.compression.nested_dropout import NestedDropout
from noisy_labels.two_networks.co_teaching import CoTeachingClassifier
from noisy_labels.two_networks.co_teaching_folder import load_co_teaching
from noisy_labels.two_networks.co_teaching_plus import CoTeachingPlus
from noisy_labels.two_networks.divide_mix import DivideMixClassifier
from noisy_labels.two_networks.jocor import JoCoR

QUICK = {"epochs": 2, "batch_size": 32, "random_state": 0, "verbose": False}


def blobs():
    rng = np.random.default_rng(0)
    true = rng.integers(3, size=240)
    X = np.array([[0, 2.5], [2, -1.5], [-2, -1.5]])[true] + rng.normal(size=(240, 2))
    noisy = np.where(rng.random(240) < 0.2, (true + 1) % 3, true)
    return X.astype("float32"), true, noisy


def main() -> None:
    target, *earlier = (Path(name) for name in sys.argv[1:])
    X, true, noisy = blobs()
    found = {"backend": keras.backend.backend(), "scores": {}, "loaded": {}}
    nested = CoTeachingClassifier(compression=NestedDropout(20.0), noise_rate=0.2, exchange_epochs=1, **QUICK)
    models = {
        "nested": nested,
        "plus": CoTeachingClassifier(exchange=CoTeachingPlus(), noise_rate=0.2, exchange_epochs=1, **QUICK),
        "jocor": CoTeachingClassifier(exchange=JoCoR(), noise_rate=0.2, exchange_epochs=1, **QUICK),
        "mix": DivideMixClassifier(mix_epochs=2, **QUICK),
    }
    # JAX compiles every method for seconds, and the rules differ by what they select alone.
    if found["backend"] == "jax":
        del models["plus"], models["jocor"]
    for name, model in models.items():
        found["scores"][name] = model.fit(X, noisy).score(X, true)
    found["size"] = nested.path_.size
    found["k"] = int(keras.ops.convert_to_numpy(nested.networks_.nested.k))
    if found["backend"] == "torch":  # which compiles nothing: the checks fit half a hundred times
        checked = (
            CoTeachingClassifier(noise_rate=0.1, **{**QUICK, "epochs": 6, "exchange_epochs": 1}),
            DivideMixClassifier(mix_epochs=1, **{**QUICK, "epochs": 4}),
        )
        results = [check for one in checked for check in check_estimator(one, on_skip=None, on_fail=None)]
        found["failed"] = [check["check_name"] for check in results if check["status"] == "failed"]
        found["passed"] = sum(check["status"] == "passed" for check in results)
    nested.save(target)
    np.save(target.with_suffix(".npy"), nested.predict_proba(X))
    for folder in earlier:
        difference = load_co_teaching(folder).predict_proba(X) - np.load(folder.with_suffix(".npy"))
        found["loaded"][folder.name] = float(np.abs(difference).max())
    sys.stdout.write(f"REPORT {json.dumps(found)}\n")


if __name__ == "__main__":
    warnings.simplefilter("ignore", DeprecationWarning)
    main()
