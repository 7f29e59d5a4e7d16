"""What test_funnel_backends.py runs under every backend of Keras: it prints a report."""

import importlib
import json
import sys
import warnings
from functools import partial

import keras
import numpy as np
from keras import ops

PACKAGE = "recsys_ssl.entire_space"
SPECIFICATION = [
    {"name": "user", "kind": "category", "num_rows": 12},
    {"name": "tags", "kind": "multi", "num_rows": 6, "combiner": "mean"},
    {"name": "item", "kind": "category", "num_rows": 8},
    {"name": "price", "kind": "dense", "num_rows": 2},
]


def function(name):
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(f"{PACKAGE}.{module}"), attribute)


def value_and_gradients(call, *arrays):
    """Value of a scalar function, and its gradients with respect to float32 arrays; None counts as 0."""
    arrays = [np.asarray(array, dtype="float32") for array in arrays]
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        value, gradients = jax.value_and_grad(call, argnums=tuple(range(len(arrays))))(*arrays)
    elif backend == "torch":
        inputs = [ops.convert_to_tensor(array).requires_grad_() for array in arrays]
        value = call(*inputs)
        value.backward()
        gradients = [one.grad for one in inputs]
        value = value.detach()
    else:
        import tensorflow as tf

        inputs = [tf.constant(array) for array in arrays]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            value = call(*inputs)
        gradients = tape.gradient(value, inputs)
    zeros = [np.zeros_like(array) for array in arrays]
    pairs = zip(gradients, zeros, strict=True)
    return float(value), [(zero if g is None else ops.convert_to_numpy(g)).tolist() for g, zero in pairs]


def numbers(found):
    found = found if isinstance(found, tuple) else (found,)
    return [ops.convert_to_numpy(value).tolist() for value in found]


def planted():
    """Impressions of which user and item decide on clicks and conversions."""
    generator = np.random.default_rng(0)
    n = 240
    x = {
        "user": generator.integers(3, 12, size=n).astype("int32"),
        "item": generator.integers(3, 8, size=n).astype("int32"),
        "tags": generator.integers(6, size=(n, 3)).astype("int32"),
        "price": generator.normal(size=(n, 2)).astype("float32"),
    }
    click = (generator.random(n) < np.where(x["user"] % 2 == 1, 0.8, 0.2)).astype("int32")
    action = click * (generator.random(n) < 0.6)
    conversion = click * (generator.random(n) < np.where(x["item"] % 2 == 1, 0.7, 0.1))
    labels = {"click": click, "action": action, "conversion": conversion}
    return x, {name: values.astype("int32") for name, values in labels.items()}


def trained(name, parameters, folder):
    """Losses before and after training, what the outputs are, and what saving changes."""
    from recsys_ssl import LazyAdam

    x, labels = planted()
    parameters = dict(parameters)
    if "bottom" in parameters:
        parameters["bottom"] = partial(function(parameters["bottom"]), units=(6,))
    model = function(name)(SPECIFICATION, dim=3, hidden_units=(6,), seed=1, **parameters)
    y = {label: labels[label] for label in model.labels}
    # Compilation would take longer than all steps.
    model.compile(optimizer=LazyAdam(0.02), run_eagerly=keras.backend.backend() == "tensorflow")
    weight = np.ones(len(labels["click"]), dtype="float32")
    losses = [model.evaluate(x, y, batch_size=240, verbose=0)]
    history = model.fit(x, y, sample_weight=weight, batch_size=60, epochs=6, shuffle=False, verbose=0)
    losses += [history.history["loss"][0], model.evaluate(x, y, batch_size=240, verbose=0)]
    path = f"{folder}/{name.rpartition('.')[2]}_{len(str(parameters))}.keras"
    model.save(path)
    again = keras.models.load_model(path)
    first, second = (one.predict(x, batch_size=240, verbose=0) for one in (model, again))
    return {
        "losses": losses,
        "shapes": {key: list(value.shape) for key, value in first.items()},
        "product": float(np.abs(first["ctr"] * first["cvr"] - first["ctcvr"]).max()),
        "saved": max(float(np.abs(first[key] - second[key]).max()) for key in first),
        "config": again.get_config() == model.get_config(),
    }


def report(cases, grids, models, folder):
    """Everything as JSON-ready numbers."""
    warnings.filterwarnings("ignore", message=".*__array__.*")
    found = {"values": {}, "gradients": {}, "grids": {}, "models": {}}
    for case, (name, logits, labels, settings) in cases.items():
        call, labels = function(name), [np.asarray(label) for label in labels]
        settings = {key: np.asarray(v) if isinstance(v, list) else v for key, v in settings.items()}
        found["values"][case] = numbers(call(*logits, *labels, **settings))
        found["gradients"][case] = []
        for part in range(len(found["values"][case])):

            def scalar(*logits, part=part, call=call, labels=labels, settings=settings):
                result = call(*logits, *labels, **settings)
                return ops.sum((result if isinstance(result, tuple) else (result,))[part])

            found["gradients"][case].append(value_and_gradients(scalar, *logits)[1])
    for case, (name, number, labels) in grids.items():
        call = function(name)
        ladder = [-1e4, -100.0, -60.0, -20.0, -1.0, 0.0, 1.0, 20.0, 60.0, 100.0, 1e4]
        mesh = np.stack(np.meshgrid(*[ladder] * min(number, 2)), axis=-1).reshape(-1, min(number, 2))
        columns = [mesh[:, place % mesh.shape[1]] for place in range(number)]
        rows = []
        for values in labels:
            arrays = [np.full(len(mesh), value) for value in values]
            rows.append(value_and_gradients(lambda *a, c=call, y=arrays: ops.sum(c(*a, *y)), *columns))
        found["grids"][case] = bool(all(np.isfinite(v) and np.isfinite(np.array(g)).all() for v, g in rows))
    for case, (name, parameters) in models.items():
        found["models"][case] = trained(name, parameters, folder)
    return found


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        given = json.load(file)
    sys.stdout.write("REPORT " + json.dumps(report(**given, folder=sys.argv[2])))
