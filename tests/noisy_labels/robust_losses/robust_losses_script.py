"""What the tests of robust losses run under every backend of Keras."""


def gradient(function, x):
    """Return the gradient of a scalar function of one tensor, as an array."""
    import keras
    import numpy as np

    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.grad(function)(jax.numpy.asarray(x)))
    if keras.backend.backend() == "torch":
        import torch

        given = torch.tensor(x, requires_grad=True)
        function(given).backward()
        return given.grad.numpy()
    import tensorflow as tf

    given = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(given)
        value = function(given)
    return tape.gradient(value, given).numpy()


def losses(transition, **kwargs):
    """Make every stateless loss, with hyper-parameters that are not the defaults."""
    from noisy_labels.robust_losses.bootstrap_loss import HardBootstrap, SoftBootstrap
    from noisy_labels.robust_losses.corrected_cross_entropy import (
        BackwardCorrectedCrossEntropy,
        ForwardCorrectedCrossEntropy,
    )
    from noisy_labels.robust_losses.generalized_cross_entropy import (
        GeneralizedCrossEntropy,
        TruncatedGeneralizedCrossEntropy,
    )
    from noisy_labels.robust_losses.symmetric_cross_entropy import SymmetricCrossEntropy

    return {
        "gce": GeneralizedCrossEntropy(0.4, **kwargs),
        "truncated gce": TruncatedGeneralizedCrossEntropy(0.4, 0.3, **kwargs),
        "sce": SymmetricCrossEntropy(0.3, 2.0, least_target=0.01, **kwargs),
        "soft bootstrap": SoftBootstrap(0.7, **kwargs),
        "hard bootstrap": HardBootstrap(0.6, **kwargs),
        "forward": ForwardCorrectedCrossEntropy(transition, **kwargs),
        "backward": BackwardCorrectedCrossEntropy(transition, identity_weight=0.1, **kwargs),
    }


def rows_and_gradients(logits, labels, transition):
    import numpy as np
    from keras import ops

    report = {}
    for name, loss in losses(transition, from_logits=True, reduction=None).items():
        rows = ops.convert_to_numpy(loss(labels, logits))
        slope = gradient(lambda z, loss=loss: ops.sum(loss(labels, z)), logits)
        report[name] = [np.asarray(rows).tolist(), slope.tolist()]
    return report


def trained(name, x, y, kernel, folder):
    """Return weights and memory after `fit`, and what a saved copy predicts and remembers."""
    import keras
    import numpy as np

    from noisy_labels.robust_losses.early_learning import EarlyLearning
    from noisy_labels.robust_losses.row_loss_model import RowLossModel
    from noisy_labels.robust_losses.sparse_over_parameterization import SparseOverParameterization

    n_rows, n_classes = len(x), kernel.shape[1]
    if name == "elr":
        loss = EarlyLearning(n_rows, n_classes, momentum=0.6, strength=2.0, from_logits=True)
    else:
        loss = SparseOverParameterization(n_rows, n_classes, u_rate=0.5, v_rate=4.0, from_logits=True, seed=0)
        loss.u.assign(np.full((n_rows, 1), 0.3))
        loss.v.assign(np.full((n_rows, n_classes), 0.2))
    dense = keras.layers.Dense(n_classes, use_bias=False, kernel_regularizer=keras.regularizers.L2(0.05))
    model = RowLossModel(keras.Sequential([keras.Input(x.shape[1:]), dense]), loss)
    dense.kernel.assign(kernel)
    model.compile(keras.optimizers.SGD(0.5), metrics=["accuracy"])
    model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0, validation_data=(x[:5], y[:5]))
    model.save(f"{folder}/{name}.keras")
    loaded = keras.models.load_model(f"{folder}/{name}.keras")
    memory = [variable.numpy() for variable in loss.variables]
    return {
        "kernel": dense.kernel.numpy().tolist(),
        "memory": [part.tolist() for part in memory],
        "evaluated": [float(value) for value in model.evaluate(x[:5], y[:5], verbose=0)],
        "unmoved": all(np.array_equal(a, b.numpy()) for a, b in zip(memory, loss.variables, strict=True)),
        "loaded": [variable.numpy().tolist() for variable in loaded.row_loss.variables],
        "same": bool(np.array_equal(model.predict(x, verbose=0), loaded.predict(x, verbose=0))),
    }


def main():
    import json
    import sys
    import warnings

    import numpy as np

    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", message=".*__array__.*")
    given = {
        name: np.load(sys.argv[1])[name] for name in ("logits", "labels", "transition", "x", "y", "kernel")
    }
    report = {"stateless": rows_and_gradients(given["logits"], given["labels"], given["transition"])}
    for name in ("elr", "sop"):
        report[name] = trained(name, given["x"], given["y"], given["kernel"], sys.argv[2])
    sys.stdout.write("REPORT " + json.dumps(report))


if __name__ == "__main__":
    main()
