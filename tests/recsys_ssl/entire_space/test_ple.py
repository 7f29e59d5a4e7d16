import keras
import numpy as np
import pytest

from recsys_ssl.entire_space.mmoe import MMoE
from recsys_ssl.entire_space.ple import PLE, CustomizedGateControl


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy_of(tensor):
    return keras.ops.convert_to_numpy(tensor)


def arrays(vectors):
    return np.stack([numpy_of(vector) for vector in vectors])


def softmax(values):
    exponentials = np.exp(values - np.max(values))
    return exponentials / exponentials.sum()


def level_of_a_loop(level, inputs):
    """Compute a level for one row; `inputs` are the vectors of the tasks and the shared one."""
    tasks, own, shared = level.num_tasks, level.task_experts, level.shared_experts

    def output(expert, h):
        for kernel, bias in zip(level.experts.kernels, level.experts.biases, strict=True):
            h = np.maximum(h @ numpy_of(kernel)[expert] + numpy_of(bias)[expert, 0], 0)
        return h

    of_task = [[output(task * own + number, inputs[task]) for number in range(own)] for task in range(tasks)]
    of_all = [output(tasks * own + number, inputs[tasks]) for number in range(shared)]
    outputs = []
    for task in range(tasks):
        weights = softmax(inputs[task] @ numpy_of(level.task_gates)[task])
        visible = [*of_task[task], *of_all]
        outputs.append(sum(weight * vector for weight, vector in zip(weights, visible, strict=True)))
    if not level.last:
        weights = softmax(inputs[tasks] @ numpy_of(level.shared_gate))
        everything = [vector for vectors in of_task for vector in vectors] + of_all
        outputs.append(sum(weight * vector for weight, vector in zip(weights, everything, strict=True)))
    return outputs


@pytest.mark.parametrize("num_levels", [1, 2, 3])
def test_vectors_equal_a_loop(num_levels):
    bottom = PLE(4, 3, num_levels=num_levels, task_experts=2, shared_experts=1, units=(6, 5), seed=0)
    for level in bottom.levels:
        for bias in level.experts.biases:
            bias.assign(drawn(*bias.shape))
    x = drawn(7, 4)
    assert [level.last for level in bottom.levels] == [False] * (num_levels - 1) + [True]
    vectors = arrays(bottom(x))
    for row in range(7):
        inputs = [x[row]] * 4
        for level in bottom.levels:
            inputs = level_of_a_loop(level, inputs)
        np.testing.assert_allclose(vectors[:, row], inputs, rtol=1e-4, atol=1e-5)


def test_one_level_whose_gates_avoid_the_own_experts_is_mmoe():
    level = CustomizedGateControl(4, 2, task_experts=2, shared_experts=3, units=(5,), seed=0)
    mixture = MMoE(4, 2, num_experts=3, units=(5,), seed=0)
    x = np.abs(drawn(7, 4)) + 0.1
    for ours, theirs in zip(mixture.experts.weights, level.experts.weights, strict=True):
        ours.assign(numpy_of(theirs)[4:])
    gates = numpy_of(level.task_gates).copy()
    gates[:, :, :2] = -1e4
    level.task_gates.assign(gates)
    mixture.gates.assign(gates[:, :, 2:])
    np.testing.assert_allclose(numpy_of(level(x)), arrays(mixture(x)), rtol=1e-5, atol=1e-6)


def test_tasks_do_not_see_each_others_experts_in_the_last_level():
    bottom = PLE(4, 2, num_levels=1, units=(5,), seed=0)
    x = drawn(7, 4)
    before = arrays(bottom(x))
    kernel = numpy_of(bottom.levels[0].experts.kernels[0]).copy()
    kernel[:2] += 1  # the experts of the first task
    bottom.levels[0].experts.kernels[0].assign(kernel)
    after = arrays(bottom(x))
    assert (after[0] != before[0]).any()
    np.testing.assert_array_equal(after[1], before[1])


def test_over_two_levels_they_reach_the_other_task_by_the_shared_gate():
    bottom = PLE(4, 2, num_levels=2, units=(5,), seed=0)
    x = drawn(7, 4)
    before = arrays(bottom(x))
    kernel = numpy_of(bottom.levels[0].experts.kernels[0]).copy()
    kernel[:2] += 1
    bottom.levels[0].experts.kernels[0].assign(kernel)
    assert (arrays(bottom(x))[1] != before[1]).any()


def test_the_last_level_has_no_shared_gate():
    bottom = PLE(4, 2, num_levels=2, task_experts=1, shared_experts=1, units=(5,))
    gates = sorted(
        weight.path.split("/")[-1] for weight in bottom.weights if "gate" in weight.path.split("/")[-1]
    )
    assert gates == ["shared_gate", "task_gates", "task_gates"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_levels": 0}, "`num_levels` must be at least 1"),
        ({"task_experts": 0}, "`task_experts` must be at least 1"),
        ({"shared_experts": 0}, "`shared_experts` must be at least 1"),
        ({"gate_dropout": 1.0}, r"`gate_dropout` must be in \[0, 1\)"),
    ],
)
def test_arguments_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        PLE(4, 2, **changes)


def test_config_of_a_level():
    arguments = {
        "input_width": 4,
        "num_tasks": 3,
        "task_experts": 1,
        "shared_experts": 3,
        "units": [6, 5],
        "dropout": 0.25,
        "gate_dropout": 0.5,
        "last": False,
        "seed": 3,
    }
    level = CustomizedGateControl(**arguments)
    config = level.get_config()
    assert {key: config[key] for key in arguments} == arguments
    np.testing.assert_array_equal(CustomizedGateControl.from_config(config)(drawn(2, 4)), level(drawn(2, 4)))
