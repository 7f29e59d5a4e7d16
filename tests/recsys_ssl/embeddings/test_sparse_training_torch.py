"""Gathered rows in PyTorch with and without Triton kernels, which run in Triton's interpreter here.

A process of its own: Keras must run on torch, and Triton decides at its import whether it interprets.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

CASES = [
    f"{combiner} {ids} {weights}"
    for combiner in ("sum", "mean", "sqrtn")
    for ids in ("matrix", "cube", "vector", "no columns", "bags")
    for weights in ("weighted", "alone")
]
SCRIPT = """
import json, sys
import keras, numpy as np, torch
from recsys_ssl import SparseEmbedding, SparseSGD
from recsys_ssl.sparse_training import torch as backend
from sparse_data import Bags, ops_triton

calls = []
kernel = ops_triton.pooled_lookup
def counted(*args, **kwargs):
    calls.append(1)
    return kernel(*args, **kwargs)
ops_triton.pooled_lookup = counted

rng = np.random.default_rng(0)
table = rng.normal(size=(7, 3)).astype("float32")
shapes = {"matrix": (4, 3), "cube": (2, 2, 3), "vector": (5,), "no columns": (2, 0)}

def call(layer, kind, weighted):
    rng = np.random.default_rng(1)
    if kind == "bags":
        ids, offsets = rng.integers(7, size=6), np.array([0, 2, 2, 6, 6])
        weights = torch.tensor(rng.random(6), dtype=torch.float32, requires_grad=True)
        given = weights if weighted else None
        return layer._of_flat(torch.tensor(ids), torch.tensor(offsets), given), weights
    ids = torch.tensor(rng.integers(7, size=shapes[kind]))
    weights = rng.random(shapes[kind])
    if kind == "matrix":
        weights[1] = 0
    weights = torch.tensor(weights, dtype=torch.float32, requires_grad=True)
    return layer(ids, weights if weighted else None), weights

def run(case, kernels):
    backend._has_kernels = lambda device: kernels
    combiner, rest = case.split(" ", 1)
    kind, weighted = rest.rsplit(" ", 1)
    layer = SparseEmbedding(7, 3, combiner, padding_id=2 if kind in ("cube", "bags") else None)
    layer.set_weights([table])
    before = len(calls)
    out, weights = call(layer, kind, weighted == "weighted")
    leaf = layer.embeddings.value
    factors = torch.arange(out.numel(), dtype=torch.float32).reshape(out.shape) + 1
    (out * factors).sum().backward()
    found = {"out": out.tolist(), "shape": list(out.shape), "sparse": leaf.grad.is_sparse}
    found["table"] = leaf.grad.to_dense().tolist()
    found["weights"] = None if weights.grad is None else weights.grad.tolist()
    optimizer = SparseSGD(0.5)
    optimizer.build([layer.embeddings])
    optimizer.apply([leaf.grad], [layer.embeddings])
    found["trained"] = layer.get_weights()[0].tolist()
    found["calls"] = len(calls) - before
    return found

report = {case: [run(case, False), run(case, True)] for case in json.loads(sys.argv[1])}
backend._has_kernels = lambda device: True
try:
    backend.pooled(SparseEmbedding(7, 3).embeddings, torch.tensor([[0, 7]]), None, None, "sum")
except ValueError as error:
    report["refusal"] = str(error)
ids = keras.Input((3,), dtype="int32")
model = keras.Model(ids, keras.layers.Dense(1)(SparseEmbedding(7, 3, "mean")(ids)))
model.compile(optimizer=SparseSGD(0.1), loss="mse")
before = len(calls)
losses = model.fit(rng.integers(7, size=(8, 3)), np.ones((8, 1)), epochs=3, verbose=0).history["loss"]
report["fit"] = [losses, len(calls) - before]
print("REPORT", json.dumps(report))
"""


@pytest.fixture(scope="module")
def report():
    for name in ("torch", "triton"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed; pip install 'sparselabels[triton]' (Linux)")
    root = str(Path(__file__).parents[3])
    environment = {"KERAS_BACKEND": "torch", "TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(CASES)],
        env={**os.environ, **environment, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.split("REPORT ")[1])


def test_kernels_change_no_number(report):
    for case in CASES:
        ordinary, fused = report[case]
        assert (ordinary["calls"], fused["calls"]) == (0, 1), case
        assert (ordinary["sparse"], fused["sparse"]) == (True, True), case
        assert ordinary["shape"] == fused["shape"], case
        compared = ["out", "table", "trained"] + ["weights"] * ("weighted" in case)
        for name in compared:
            where = f"{name} of {case}"
            np.testing.assert_allclose(fused[name], ordinary[name], rtol=1e-4, atol=1e-5, err_msg=where)


def test_an_id_that_is_no_row_never_reaches_the_kernel(report):
    assert report["refusal"].startswith("`ids` must be in [0, 7); got 7.")


def test_a_model_trains_through_the_kernels(report):
    losses, calls = report["fit"]
    assert losses[-1] < losses[0]
    assert calls >= 3
