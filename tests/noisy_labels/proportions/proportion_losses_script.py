"""What the tests of proportion losses run under every backend of Keras."""


def losses(prior, **kwargs):
    """Make every loss, with hyper-parameters that are not the defaults."""
    from noisy_labels.proportions.count_likelihood_loss import CountLikelihoodLoss
    from noisy_labels.proportions.debiased_square_loss import DebiasedSquareLoss
    from noisy_labels.proportions.dllp import DLLPLoss
    from noisy_labels.proportions.easy_llp import EasyLLPLoss
    from noisy_labels.proportions.llp_fc import LLPFCLoss
    from noisy_labels.proportions.sinkhorn_loss import SinkhornLoss
    from noisy_labels.proportions.upm_loss import UPMLoss

    return {
        "dllp": DLLPLoss(**kwargs),
        "dllp squares": DLLPLoss("squares", **kwargs),
        "easy": EasyLLPLoss(prior, **kwargs),
        "bounded": EasyLLPLoss(prior, bounded=True, **kwargs),
        "upm": UPMLoss(prior, **kwargs),
        "dsq": DebiasedSquareLoss(prior, **kwargs),
        "sinkhorn": SinkhornLoss(0.5, iterations=7, proportion_weight=0.3, **kwargs),
        "fc": LLPFCLoss(prior, **kwargs),
        "count": CountLikelihoodLoss(6, **kwargs),
    }


def gradient(function, x):
    """Return the gradient of a scalar function of one tensor, as an array."""
    import keras
    import numpy as np

    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.jit(jax.grad(function))(jax.numpy.asarray(x)))
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


def values_and_gradients(labels, logits):
    return {
        name: [float(loss(labels, logits)), gradient(lambda z, loss=loss: loss(labels, z), logits).tolist()]
        for name, loss in losses(0.4, from_logits=True).items()
    }


def trained(name, x, bags, proportions):
    """Return the weights of a linear model after two epochs."""
    import keras
    import numpy as np

    from noisy_labels.proportions.bag_batches import BagBatches

    dense = keras.layers.Dense(1, kernel_initializer="zeros")
    model = keras.Sequential([keras.Input(x.shape[1:]), dense])
    model.compile(keras.optimizers.SGD(0.5), loss=losses(0.4, from_logits=True)[name])
    batches = BagBatches(x, bags, proportions, bags_per_batch=2, shuffle=False)
    history = model.fit(batches, epochs=2, shuffle=False, verbose=0, validation_data=batches)
    model.predict(x, verbose=0)
    assert np.isfinite(history.history["val_loss"]).all()
    return np.append(dense.kernel.numpy(), dense.bias.numpy()).tolist()


def consistency(x, start, kernel):
    """Return the adversarial steps of a linear model, and what is left of its slope after training."""
    import keras
    import numpy as np
    from keras import ops

    from noisy_labels.proportions.bag_batches import BagBatches
    from noisy_labels.proportions.dllp import DLLPLoss
    from noisy_labels.proportions.llp_vat import LLPVATModel, virtual_adversarial_step

    dense = keras.layers.Dense(kernel.shape[1])
    network = keras.Sequential([keras.Input(x.shape[1:]), dense])
    dense.set_weights([kernel, np.zeros(kernel.shape[1])])
    model = LLPVATModel(network, weight=2.0, seed=3)
    given = {"radius": 0.7, "probe": 0.01, "n_steps": 3}
    step = virtual_adversarial_step(
        model._log_probabilities, ops.convert_to_tensor(x), ops.convert_to_tensor(start), **given
    )
    model.compile(keras.optimizers.SGD(0.5), loss=DLLPLoss(from_logits=True))
    shares = np.full((2, kernel.shape[1]), 1 / max(2, kernel.shape[1]))
    model.fit(BagBatches(x, np.arange(len(x)) % 2, shares), epochs=1, verbose=0)
    left = np.linalg.norm(dense.get_weights()[0]) / np.linalg.norm(kernel)
    return ops.convert_to_numpy(step).tolist(), float(left)


def main():
    import json
    import sys
    import warnings

    import numpy as np

    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", message=".*__array__.*")
    given = np.load(sys.argv[1])
    report = {"values": values_and_gradients(given["labels"], given["logits"])}
    report["steps"], report["left"] = consistency(given["x"], given["x"][::-1].copy(), given["kernel"])
    for name in sys.argv[2:]:
        report[name] = trained(name, given["x"], given["bags"], given["proportions"])
    sys.stdout.write("REPORT " + json.dumps(report))


if __name__ == "__main__":
    main()
