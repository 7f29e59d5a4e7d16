"""Every public name has a valid call, and calls with malformed input return or raise what is documented.

`benchmarks/fuzz_entry_points.py` tries hundreds of thousands of inputs of the same kinds.
"""

from pathlib import Path

import numpy as np
import pytest
from call_contract import TookTooLong, breach, documented_errors, fingerprint, time_limit
from entry_points import calls, public_names
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from malformed_values import OF_ARRAYS, spoilt_arguments

from sparse_data import Bags, checks, datasets

# What holds results, or is the base of others, is made by the library: nothing of theirs is checked.
HOLDERS = {
    "graph.GraphDiagnostics",
    "noisy_labels.BenchmarkStability",
    "noisy_labels.CrowdConsensus",
    "noisy_labels.LabelAudit",
    "noisy_labels.LabelScores",
    "recsys_ssl.FactorRecommender",
    "recsys_ssl.Recommender",
    "recsys_ssl.SparseModel",
    "recsys_ssl.SparseTraining",
    "sparse_data.datasets.CommonFeatures",
    "sparse_data.datasets.CorruptedFileError",
    "sparse_data.datasets.DownloadError",
    "sparse_data.datasets.GraphDataset",
    "sparse_data.datasets.LabelledImages",
    "sparse_data.datasets.fetch_wikipedia_links",
}


def listed(package):
    """Return the text of the table of a package: to make its calls would load every framework."""
    return (Path(__file__).parent / f"calls_of_{package}.py").read_text(encoding="utf-8")


def test_every_public_name_has_a_call():
    tables = {package: listed(package) for package in ("sparse_data", "recsys_ssl", "noisy_labels", "graph")}
    absent = [
        name
        for name in sorted(public_names() - HOLDERS)
        if f'{name.rsplit(".", 1)[1]}"' not in tables[name.split(".")[0]]
        and f"{name.rsplit('.', 1)[1]}." not in tables[name.split(".")[0]]
        and not name.startswith("sparse_data.datasets.fetch_")
        and not name.startswith(("sparse_data.datasets.load_", "sparse_data.datasets.read_human"))
    ]
    assert absent == []


QUICK = [call for call in calls("sparse_data") if "ops_keras" not in call.name]

SPOILT = [call for call in QUICK if set(call.arguments) - call.fixed]


@pytest.mark.parametrize("call", QUICK, ids=lambda call: call.name)
def test_valid_calls_keep_the_contract(call):
    assert breach(call.run, call.arguments, {}, call.errors) is None


@pytest.mark.parametrize(
    "call", [one for one in QUICK if set(one.arguments) - one.fixed], ids=lambda call: call.name
)
@settings(
    max_examples=5, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
@given(rng=st.randoms(use_true_random=False, note_method_calls=False))
def test_malformed_calls_keep_the_contract(call, rng):
    how, arguments = spoilt_arguments(call.arguments, call.fixed, rng)
    found = breach(call.run, arguments, how, call.errors)
    assert found is None or found.rule == "message names the argument", found


@pytest.mark.parametrize("kind", sorted(OF_ARRAYS))
def test_every_way_to_spoil_an_array_is_refused_or_read(kind):
    spoilt = OF_ARRAYS[kind](np.arange(6.0).reshape(3, 2), 1)
    found = breach(checks.check_finite, {"name": "x", "array": spoilt}, {}, (TypeError, ValueError))
    assert found is None


def endless():
    while True:
        pass


@pytest.mark.parametrize(
    ("run", "rule"),
    [
        (lambda x: x[7], "documented exception"),
        (lambda x: int("seven"), "message names the argument"),
        (lambda x: x.sort(), "input unaltered"),
        (lambda x: np.float64(1) / np.float64(0), "documented exception"),
        (lambda x: endless(), "no hang"),
    ],
)
def test_the_contract_can_be_broken(run, rule):
    found = breach(run, {"x": np.array([2.0, 1.0])}, {}, (TypeError, ValueError), seconds=0.2)
    assert found.rule == rule


def test_errors_are_read_from_docstrings():
    assert FileNotFoundError in documented_errors(datasets.read_common_features)
    assert datasets.DownloadError in documented_errors(datasets.fetch_gowalla)
    assert set(documented_errors(len)) == {TypeError, ValueError}


def test_a_fingerprint_tells_what_was_altered():
    bags = Bags.from_lists([[1, 2], [3]])
    before = fingerprint({"bags": bags, "more": [np.zeros(2)]})
    assert fingerprint({"bags": bags, "more": [np.zeros(2)]}) == before
    bags.values[0] = 9
    assert fingerprint({"bags": bags, "more": [np.zeros(2)]}) != before


def test_a_call_that_computes_too_long_is_stopped():
    with pytest.raises(TookTooLong), time_limit(0.1):
        endless()
