"""What test_sparse_backends.py runs under every backend of Keras: it prints a report."""


def main():
    import json
    import sys
    import warnings

    import keras
    import numpy as np

    import recsys_ssl
    from recsys_ssl import LazyAdam, RowwiseAdagrad, SparseAdagrad, SparseEmbedding, SparseModel, SparseSGD

    given = np.load(sys.argv[1])
    cases, folder = json.loads(sys.argv[2]), sys.argv[3]
    backend = keras.backend.backend()
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", message=".*__array__.*")
    x = [given["bags"], given["single"], given["padded"], given["weights"]]
    y = given["targets"]
    report = {}

    def inputs():
        shapes = [((3,), "int32"), ((), "int32"), ((2,), "int32"), ((3,), "float32")]
        return [keras.Input(shape, dtype=dtype) for shape, dtype in shapes]

    class Plain(SparseModel):
        # Three lookups: two features share the first table, the second has padding.
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.shared = SparseEmbedding(12, 4, "mean", name="shared")
            self.tags = SparseEmbedding(12, 4, "sum", padding_id=0, name="tags")
            self.dense = keras.layers.Dense(1, name="dense")

        def call(self, x):
            bags, single, padded, weights = x
            single = keras.ops.expand_dims(single, -1)
            parts = [self.shared(bags, weights), self.shared(single), self.tags(padded)]
            return self.dense(keras.ops.concatenate(parts, axis=-1))

    def functional(model_class=SparseModel):
        bags, single, padded, weights = inputs()
        shared, tags = SparseEmbedding(12, 4, "mean"), SparseEmbedding(12, 4, "sum", padding_id=0)
        expanded = keras.layers.Reshape((1,))(single)
        parts = [shared(bags, weights), shared(expanded), tags(padded)]
        output = keras.layers.Dense(1)(keras.layers.Concatenate()(parts))
        return model_class([bags, single, padded, weights], output)

    def started(model):
        model(x)
        model.set_weights([given["shared"], given["tags"], given["kernel"], given["bias"]])
        return model

    def arrays(model):
        return [value.tolist() for value in model.get_weights()]

    def batch(step):
        part = slice(8 * step, 8 * step + 8)
        return [value[part] for value in x], y[part]

    report["trained"] = {}
    for number, (name, (optimizer, settings)) in enumerate(cases.items()):
        model = started(functional() if number % 2 else Plain())
        model.compile(optimizer=getattr(recsys_ssl, optimizer)(**settings), loss="mse")
        if name == "sgd":
            model.train_on_batch(*batch(0))
            report["one step"] = arrays(model)
            started(model)
        model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
        report["trained"][name] = arrays(model)

    # Learning-rate schedule and callback.
    schedule = keras.optimizers.schedules.ExponentialDecay(0.2, decay_steps=1, decay_rate=0.5)
    model = started(functional())
    model.compile(optimizer=SparseSGD(schedule), loss="mse")
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    report["trained"]["schedule"] = arrays(model)

    # The dense optimizers give the same where the mathematics is the same: 200 steps.
    class Stock(keras.Model):
        def __init__(self):
            super().__init__()
            self.table, self.out = keras.layers.Embedding(12, 4), keras.layers.Dense(1)
            self.table.build()

        def call(self, x):
            # The product makes the gradient dense: of a sparse one, Keras's Adagrad in TensorFlow squares
            # the gradients of a row that occurs twice before it adds them up.
            rows = keras.ops.take(self.table.embeddings * 1.0, x, axis=0)
            return self.out(keras.ops.sum(rows, axis=1))

    class Gathered(SparseModel):
        def __init__(self):
            super().__init__()
            self.table, self.out = SparseEmbedding(12, 4, "sum"), keras.layers.Dense(1)

        def call(self, x):
            return self.out(self.table(x))

    report["dense"] = {}
    pairs = {"SGD": (SparseSGD(0.1), keras.optimizers.SGD(0.1))}
    pairs["Adagrad"] = (SparseAdagrad(0.1), keras.optimizers.Adagrad(0.1))
    for name, optimizers in pairs.items():
        found = []
        for optimizer, model in zip(optimizers, (Gathered(), Stock()), strict=False):
            model(x[0])
            model.set_weights([given["shared"], given["kernel"][:4], given["bias"]])
            model.compile(optimizer=optimizer, loss="mse")
            model.fit(x[0], y, batch_size=8, epochs=40, shuffle=False, verbose=0)
            found.append(model.get_weights())
        report["dense"][name] = max(float(np.abs(a - b).max()) for a, b in zip(*found, strict=False))

    # A plain Keras model learns the same; in JAX it says what it costs.
    model = started(functional(keras.Model))
    model.compile(optimizer=SparseSGD(0.1), loss="mse")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    report["trained"]["plain model"] = arrays(model)
    report["said"] = any("SparseModel" in str(one.message) for one in said)

    # Steps that must be refused, and what is left then.
    report["refused"] = {}
    model = started(functional())
    model.compile(optimizer=LazyAdam(0.1), loss="mse")
    model.train_on_batch(*batch(0))
    for case in ("NaN target", "infinite weight", "id behind", "id negative"):
        before, slots = model.get_weights(), [value.numpy() for value in model.optimizer.variables]
        bad, targets = batch(1)
        bad, targets = [value.copy() for value in bad], targets.copy()
        if case == "NaN target":
            targets[3] = np.nan
        elif case == "infinite weight":
            bad[3][0, 0] = np.inf
        else:
            bad[1][2] = 12 if case == "id behind" else -1
        try:
            model.fit(bad, targets, batch_size=8, verbose=0)
            message = "no error"
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
        same = all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
        counts = ("iteration", "refused_steps")
        same_slots = all(
            np.array_equal(a, b.numpy())
            for a, b in zip(slots, model.optimizer.variables, strict=True)
            if b.name not in counts
        )
        model.train_on_batch(*batch(1))
        finite = all(np.isfinite(value).all() for value in model.get_weights())
        report["refused"][case] = [message, same, same_slots, finite]

    # Ids of a wrong kind.
    report["ids"] = {}
    layer = SparseEmbedding(5, 2)
    for name, ids in {
        "float": np.array([1.0]),
        "negative": np.array([-1]),
        "behind": [5],
        "wide": np.array([2**32 + 1]),
        "tensor": keras.ops.convert_to_tensor([7]),
    }.items():
        try:
            layer(ids)
            report["ids"][name] = "no error"
        except (TypeError, ValueError) as error:
            report["ids"][name] = str(error)
    model = started(functional())
    model.compile(optimizer=SparseSGD(0.1), loss="mse")
    wide = [value.copy() for value in x]
    wide[1] = wide[1].astype("int64")
    wide[1][2] = 2**32 + 3
    report["wide"] = []
    for call in (lambda: model.fit(wide, y, verbose=0), lambda: model.train_on_batch(wide, y)):
        try:
            call()
            report["wide"].append("no error")
        except Exception as error:
            report["wide"].append(f"{type(error).__name__}: {error}")

    # Saved in the middle and continued is the same as never stopped; other dtypes keep a float32 table.
    model = started(functional())
    model.compile(optimizer=LazyAdam(0.1, clipnorm=1.0), loss="mse")
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    model.save(folder + "/model.keras")
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    loaded = keras.models.load_model(folder + "/model.keras")
    report["class"] = [type(loaded).__name__, type(loaded.optimizer).__name__, loaded.optimizer.clipnorm]
    loaded.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    pairs = zip(model.get_weights(), loaded.get_weights(), strict=False)
    report["continued"] = max(float(np.abs(a - b).max()) for a, b in pairs)

    report["precision"] = {}
    for policy in ("mixed_bfloat16", "mixed_float16"):
        keras.config.set_dtype_policy(policy)
        model = started(functional())
        keras.config.set_dtype_policy("float32")
        model.compile(optimizer=SparseSGD(0.05, loss_scale_factor=8.0), loss="mse", auto_scale_loss=False)
        model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
        report["precision"][policy] = [str(model.layers[-1].compute_dtype), arrays(model)]

    # Several steps at once, and rows that go to other ids.
    model = started(functional())
    model.compile(optimizer=SparseSGD(0.1), loss="mse", steps_per_execution=1 if backend == "torch" else 2)
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    report["trained"]["two at once"] = arrays(model)
    model = started(functional())
    model.compile(optimizer=RowwiseAdagrad(0.5, initial_accumulator_value=0.25), loss="mse")
    model.fit(x, y, batch_size=8, verbose=0)
    shared = next(layer for layer in model.layers if getattr(layer, "combiner", None) == "mean")
    slot = next(v for v in model.optimizer.variables if v.name.endswith("row_accumulator"))
    old, old_slot = shared.get_weights()[0], slot.numpy()
    shared.reset_rows([2, 7, 7])
    model.optimizer.reset_rows(shared.embeddings, [2, 7])
    changed = np.flatnonzero((shared.get_weights()[0] != old).any(axis=1)).tolist()
    changed_slots = np.flatnonzero(slot.numpy() != old_slot).tolist()
    report["reset"] = [changed, changed_slots, slot.numpy()[[2, 7]].tolist()]
    sys.stdout.write("REPORT " + json.dumps(report))


if __name__ == "__main__":
    main()
