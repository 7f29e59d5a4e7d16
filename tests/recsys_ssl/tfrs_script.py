"""What test_tfrs.py runs beside TensorFlow Recommenders: it prints a report."""


def main():
    import doctest
    import json
    import sys
    import warnings

    import keras
    import numpy as np
    import tensorflow as tf
    import tensorflow_recommenders as tfrs
    import tf_keras

    from recsys_ssl import SampledSoftmax, TwoTower, TwoTowerRetriever
    from recsys_ssl.tfrs import (
        SampledSoftmaxTask,
        brute_force_layer,
        sampled_softmax_task,
        scann_layer,
        serving,
        streaming_layer,
    )
    from sparse_data.datasets import Interactions

    folder = sys.argv[1]
    generator = np.random.default_rng(0)
    report = {"keras": [keras.__version__, tf_keras.__version__]}
    options = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    modules = sampled_softmax_task, serving
    report["doctests"] = [list(doctest.testmod(module, optionflags=options)) for module in modules]

    # Values and gradients beside `tfrs.tasks.Retrieval`, which sums: 6 pairs, 2 further
    # negatives, ids 0, 1 and 2 more than once.
    queries, items = (generator.normal(size=shape).astype("float32") for shape in ((6, 4), (8, 4)))
    ids = np.array([0, 1, 0, 2, 3, 1, 2, 4])
    inputs = {
        "sample_weight": np.array([1, 0, 2, 0.5, 1, 3], dtype="float32"),
        "candidate_sampling_probability": generator.uniform(1e-3, 0.5, 8).astype("float32"),
        "candidate_ids": ids,
        "score_mask": np.eye(6, 8) + generator.uniform(size=(6, 8)) > 0.4,
    }
    names = np.array(["a", "b", "c", "d", "e"])[ids]
    beside = {
        "plain": ({}, {}),
        "temperature": ({"temperature": 0.3}, {}),
        "probability": ({}, {"candidate_sampling_probability"}),
        "temperature, probability": ({"temperature": 0.3}, {"candidate_sampling_probability"}),
        "hits": ({"remove_accidental_hits": True}, {"candidate_ids"}),
        "hits of names": ({"remove_accidental_hits": True}, {"names"}),
        "hard negatives": ({"num_hard_negatives": 2}, {}),
        "more hard negatives than there are": ({"num_hard_negatives": 20}, {}),
        "weights": ({}, {"sample_weight"}),
        "mask": ({}, {"score_mask"}),
        "all": ({"temperature": 0.3, "num_hard_negatives": 2, "remove_accidental_hits": True}, set(inputs)),
    }

    def value_and_gradients(task, keywords, graph):
        # In the graph neither the number of queries nor that of candidates is known.
        def step(queries, items, keywords):
            with tf.GradientTape() as tape:
                tape.watch((queries, items))
                loss = task(queries, items, **keywords)
            return loss, tape.gradient(loss, (queries, items))

        arguments = tf.nest.map_structure(tf.constant, (queries, items, keywords))
        if graph:

            def unknown(x):
                return tf.TensorSpec([None, *x.shape[1:]], x.dtype)

            step = tf.function(step, input_signature=tf.nest.map_structure(unknown, arguments))
        return step(*arguments)

    report["beside"] = {}
    for case, (settings, given) in beside.items():
        keywords = {name: inputs[name] for name in given if name in inputs}
        if "names" in given:
            keywords["candidate_ids"] = names
        correction = "logq" if "candidate_sampling_probability" in given else "none"
        own = {"remove_accidental_hits": False, "correction": correction, **settings}
        found = {}
        for name, task, graph in (
            ("theirs", tfrs.tasks.Retrieval(**settings), False),
            ("sum", SampledSoftmaxTask(SampledSoftmax(**own), reduction="sum"), False),
            ("sum in a graph", SampledSoftmaxTask(SampledSoftmax(**own), reduction="sum"), True),
            ("mean", SampledSoftmaxTask(SampledSoftmax(**own)), False),
        ):
            loss, gradients = value_and_gradients(task, keywords, graph)
            found[name] = [float(loss), *(part.numpy().tolist() for part in gradients)]
        report["beside"][case] = found

    # What only ours has: golden values row by row, by weights that pick the row.
    golden_queries, golden_items = ([[1, 0], [0, 1], [1, 1]], [[2, 0], [0, 1], [1, 2]])
    pair = [tf.constant(rows, tf.float32) for rows in (golden_queries, golden_items)]
    extra = {"candidate_ids": tf.constant([7, 8, 7])}
    extra["candidate_sampling_probability"] = tf.constant([0.5, 0.1, 0.5])
    report["golden"] = {}
    for case, correction, similarity, hits in (
        ("plain", "none", "dot", False),
        ("logq, hits", "logq", "dot", True),
        ("negatives, hits", "negatives", "dot", True),
        ("cosine, logq, hits", "logq", "cosine", True),
        ("leave positive out", "leave_positive_out", "dot", True),
    ):
        loss = SampledSoftmax(similarity, temperature=0.5, correction=correction, remove_accidental_hits=hits)
        task = SampledSoftmaxTask(loss, reduction="sum")
        again = SampledSoftmaxTask.from_config(json.loads(json.dumps(task.get_config())))
        report["golden"][case] = [
            [float(each(*pair, sample_weight=tf.one_hot(row, 3), **extra)) for row in range(3)]
            for each in (task, again)
        ]

    # Probabilities below 1e-6, to which TensorFlow Recommenders raises them, and one that underflows.
    task, theirs = SampledSoftmaxTask(SampledSoftmax(remove_accidental_hits=False)), tfrs.tasks.Retrieval()
    tiny, zero = ({"candidate_sampling_probability": tf.constant([p, 0.5])} for p in (1e-9, 0.0))
    eye = tf.eye(2), tf.eye(2)
    report["tiny"] = [float(task(*eye, **tiny)), float(task(*eye, **zero)), float(theirs(*eye, **tiny)) / 2]

    # Training a `tfrs.Model`, in a graph, with batches of 8, 8 and 4 pairs.
    class Model(tfrs.Model):
        def __init__(self, task):
            super().__init__()

            def start(seed):
                return tf_keras.initializers.RandomNormal(stddev=0.5, seed=seed)

            self.queries = tf_keras.layers.Embedding(12, 4, embeddings_initializer=start(1))
            self.items = tf_keras.layers.Embedding(6, 4, embeddings_initializer=start(2))
            self.task = task

        def compute_loss(self, batch, training=False):
            return self.task(
                self.queries(batch["user"]),
                self.items(batch["item"]),
                sample_weight=batch["weight"],
                candidate_sampling_probability=batch["probability"],
                candidate_ids=batch["item"],
                compute_metrics=not training,
            )

    users, liked = generator.integers(12, size=20), generator.integers(6, size=20)
    pairs = {
        "user": users,
        "item": liked,
        "weight": generator.uniform(size=20).astype("float32"),
        "probability": (np.bincount(liked, minlength=6) / 20)[liked].astype("float32"),
    }
    batches = tf.data.Dataset.from_tensor_slices(pairs).batch(8)

    def train(task):
        model = Model(task)
        model.compile(optimizer=tf_keras.optimizers.SGD(0.05))
        history = model.fit(batches, epochs=3, verbose=0).history["total_loss"]
        candidates = tf.data.Dataset.range(6).batch(6).map(lambda rows: (rows, model.items(rows)))
        metric = tfrs.metrics.FactorizedTopK(candidates, ks=(1, 3))
        # Theirs drops a single metric that is set later.
        task.factorized_metrics = metric if isinstance(task, SampledSoftmaxTask) else [metric]
        measured = model.evaluate(batches, verbose=0, return_dict=True)
        return {
            "history": history,
            "items": model.items.embeddings.numpy().tolist(),
            "evaluated": {name: float(value) for name, value in measured.items()},
            "variables": len(model.trainable_variables),
        }

    def measures():
        return {
            "batch_metrics": [tf_keras.metrics.CategoricalAccuracy(name="first")],
            "loss_metrics": [tf_keras.metrics.Mean(name="mean")],
        }

    learning = SampledSoftmax("cosine", temperature=0.5, learn_temperature=True)
    tasks = {
        "theirs": tfrs.tasks.Retrieval(temperature=0.5, remove_accidental_hits=True, **measures()),
        "ours": SampledSoftmaxTask(SampledSoftmax(temperature=0.5), reduction="sum", **measures()),
        "learned": SampledSoftmaxTask(learning),
    }
    report["trained"] = {name: train(task) for name, task in tasks.items()}
    report["temperature"] = float(tasks["learned"].current_temperature())

    # Trained models of ours behind the layers of theirs: 12 users, 12 items, even likes even, odd likes odd.
    board = [
        (f"u{user}", f"i{item:02d}") for user in range(12) for item in range(12) if (user + item) % 2 == 0
    ]
    board = [(user, item) for user, item in board if user[1:] != str(int(item[1:]))]
    # Two more lines make two items the most popular.
    users, items = zip(*board, ("u1", "i02"), ("u1", "i04"), strict=False)
    log = Interactions.from_frame({"user_id": users, "item_id": items})

    def listed(found):
        scores, ids = (np.asarray(part) for part in found)
        return [ids.astype(str).tolist() if ids.dtype == object else ids.tolist(), scores.tolist()]

    def rows_of(found):
        return [part.tolist() for part in found]

    report["served"] = {}
    for similarity in ("dot", "cosine"):
        loss = SampledSoftmax(similarity, temperature=1.0 if similarity == "dot" else 0.2)
        retriever = TwoTowerRetriever(
            8, loss=loss, epochs=5, learning_rate=0.1, validation_fraction=0, verbose=False
        ).fit(log)
        asked, known = np.array(["u3", "u0", "nobody", "u11"]), np.array(["u3", "u11"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "nobody" is not in the log
            ours = rows_of(retriever.recommend(asked, k=4, filter_seen=False))
        exact = brute_force_layer(retriever, k=2)
        seen = [[item for user, item in board if user == who] for who in known]
        # By the query tower, from features; the length of the items' vectors must not matter to the cosine.
        features = retriever.user_encoder_.encode(known, None)
        stretched = retriever.item_factors_ * (1.0 if similarity == "dot" else 3.0)
        tower = brute_force_layer(retriever.model_, stretched, retriever.item_ids_)
        report["served"][similarity] = {
            "ours": ours,
            "brute force": listed(exact(tf.constant(asked), k=4)),
            "streaming": listed(streaming_layer(retriever, batch_size=5)(tf.constant(asked), k=4)),
            "default": listed(exact(tf.constant(asked))),
            "unseen": rows_of(retriever.recommend(known, k=3)),
            "exclusions": listed(exact.query_with_exclusions(tf.constant(known), tf.constant(seen), k=3)),
            "known": rows_of(retriever.recommend(known, k=10, filter_seen=False)),
            "tower": listed(tower(tf.nest.map_structure(tf.constant, features))),
            "features": {name: column.tolist() for name, column in features.items()},
        }
    tf.saved_model.save(exact, f"{folder}/users")
    tf.saved_model.save(tower, f"{folder}/tower")

    # Users and items of integers, items without ids.
    numbers = TwoTowerRetriever(4, epochs=1, validation_fraction=0, verbose=False).fit(
        {"user_id": [5, 5, -3], "item_id": [10, 2**40, 10]}
    )
    report["numbers"] = [
        rows_of(numbers.recommend([-3, 5], k=2, filter_seen=False)),
        listed(brute_force_layer(numbers, k=2)(tf.constant([-3, 5]))),
    ]
    same = TwoTower(keras.layers.Identity(), keras.layers.Identity())
    report["without ids"] = listed(brute_force_layer(same, np.eye(3), k=1)(tf.eye(3)))

    wrong = {
        "loss": lambda: SampledSoftmaxTask("logq"),
        "three axes": lambda: SampledSoftmaxTask()(tf.ones((2, 3, 2)), tf.eye(2)),
        "too few": lambda: SampledSoftmaxTask()(tf.eye(2), tf.eye(2), candidate_ids=tf.constant([1])),
        "reduction": lambda: SampledSoftmaxTask(reduction="none"),
        "no probability": lambda: SampledSoftmaxTask()(tf.eye(2), tf.eye(2), candidate_ids=tf.range(2)),
        "no ids": lambda: SampledSoftmaxTask()(
            tf.eye(2), tf.eye(2), candidate_sampling_probability=tf.ones(2)
        ),
        "model": lambda: brute_force_layer(same.query_tower),
        "no vectors": lambda: brute_force_layer(same),
        "not finite": lambda: brute_force_layer(same, [[np.nan]], k=1),
        "doubled": lambda: brute_force_layer(same, np.eye(2), ["a", "a"], k=1),
        "lengths": lambda: brute_force_layer(same, np.eye(2), ["a"], k=1),
        "too many": lambda: streaming_layer(same, np.eye(2), k=3),
        "twice": lambda: brute_force_layer(retriever, retriever.item_factors_),
        "scann": lambda: scann_layer(same, np.eye(2), k=1),
    }
    report["errors"] = {}
    for name, call in wrong.items():
        try:
            call()
        except Exception as error:
            report["errors"][name] = f"{type(error).__name__}: {error}"
    sys.stdout.write("REPORT " + json.dumps(report))


if __name__ == "__main__":
    main()
