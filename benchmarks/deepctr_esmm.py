"""DeepCTR's ESMM (0.9.4), by its public interface: one run, in a virtual environment of its own.

DeepCTR 0.9.4 pins no TensorFlow and runs with 2.21 on Keras 2 (TF_USE_LEGACY_KERAS=1), unchanged. It is kept
out of the project's environment, whose packages it borrows:

    python -m venv /tmp/deepctr
    /tmp/deepctr/bin/pip install --no-deps deepctr==0.9.4
    python -c "import sysconfig; print(sysconfig.get_paths()['purelib'])" \
        > "$(/tmp/deepctr/bin/python -c "import sysconfig; print(sysconfig.get_paths()['purelib'])")/main.pth"

The `python` of the last command is the one that has TensorFlow and tf-keras. bench_esmm_training.py starts
this file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def run_one(options: dict[str, Any]) -> dict[str, Any]:
    """Train, and return seconds of every epoch, losses on test and peak memory."""
    import tensorflow as tf
    from deepctr.feature_column import SparseFeat
    from deepctr.models import ESMM
    from esmm_task import DIM, HIDDEN, SCALE, SIZES, EpochTimes, generated, losses

    tf.keras.utils.set_random_seed(options["seed"])
    normal = tf.keras.initializers.RandomNormal(stddev=SCALE)  # its own, of 0.0001, learns later
    columns = [SparseFeat(name, size, DIM, embeddings_initializer=normal) for name, size in SIZES.items()]
    model = ESMM(columns, tower_dnn_hidden_units=HIDDEN, l2_reg_embedding=options["l2"], seed=options["seed"])
    optimizers = tf.keras.optimizers
    kinds = {"adam": optimizers.Adam, "legacy_adam": optimizers.legacy.Adam}
    optimizer = kinds[options["optimizer"]](options["learning_rate"])
    model.compile(optimizer, loss=["binary_crossentropy", "binary_crossentropy"])
    x, clicks, conversions = generated(options["rows"], options["seed"])
    held, *labels = generated(options["test_rows"], options["seed"] + 1)

    class Times(EpochTimes, tf.keras.callbacks.Callback):
        """The callback of this Keras."""

    def predicted() -> Any:
        return [values.ravel() for values in model.predict(held, batch_size=8192, verbose=0)]

    times = Times(lambda: losses(*predicted(), *labels))
    targets = [clicks, conversions]  # the outputs are pCTR and pCTCVR
    arguments = {"batch_size": options["batch_size"], "epochs": options["epochs"], "verbose": 0}
    model.fit(x, targets, callbacks=[times], **arguments)
    return times.answer()


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(run_one(json.loads(sys.argv[1]))))
