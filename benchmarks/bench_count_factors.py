"""Speed of count factors: messages, belief propagation, and the whole pipelines at a million rows.

Each run has a process of its own.  `counts` is one exact pass over the counts of a million rows;
`propagation` 50 passes over a given graph of 10 neighbours (14 directed edges a row) and the counts.
`factor`, `pairwise` and `pgmax` are 100 passes on 27,120 rows, with one factor a bag or with an edge between
all pairs of a bag, the form of the released code of Havaldar et al.; `factor_run` and `pairwise_run` end
when no message changes by .001, after 100 passes at the latest, pairs damped by .5 as published and one
factor, which settles without, not damped.

`default` is `LabelProportionsClassifier` as it comes on a million rows of 32 features, its search for
neighbours included; beside it that search alone, and one epoch of its learner: one fit to the soft labels of
all rows.  `llp_bp` is the same of `LLPBeliefPropagationClassifier`, whose learner is a network: an epoch is
one pass over all rows, of which a fit takes fifteen and the pipeline two fits.
PGMax runs where it can be imported: `pip install --no-deps --target <folder> pgmax==0.6.1`, and
PYTHONPATH=<folder>.

    python benchmarks/bench_count_factors.py
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import itertools
import resource
import time
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import own_process
from numpy.typing import NDArray
from results_file import ResultsFile, circumstances
from scipy.sparse import coo_array, csr_array, triu
from scipy.special import expit
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from noisy_labels.proportions.count_messages import CountFactor, count_factor
from noisy_labels.proportions.count_potentials import ExactCount, QuadraticCount
from noisy_labels.proportions.label_proportions import LabelProportionsClassifier
from noisy_labels.proportions.llp_bp import LLPBeliefPropagationClassifier
from noisy_labels.proportions.loopy_propagation import belief_propagation
from noisy_labels.proportions.nearest_neighbours import neighbour_graph
from noisy_labels.proportions.soft_labels import fit_soft_labels

ROWS, FEW_ROWS = 1_000_000, 27_120
FORMS = ("factor", "pairwise", "pgmax", "factor_run", "pairwise_run")
PARTS = ("build_seconds", "build_cpu_seconds", "learner_seconds", "learner_cpu_seconds")
PIPELINES = {"default": LabelProportionsClassifier, "llp_bp": LLPBeliefPropagationClassifier}
STRENGTH = 10.0  # of the quadratic penalty, as in the released code


def draw(n_rows: int, bag: int) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Return logits, bags and counts of labels drawn from the logits."""
    rng = np.random.default_rng(0)
    logits = rng.normal(-2, 1.5, n_rows)
    bags = np.arange(n_rows) // bag
    return logits, bags, np.bincount(bags, rng.random(n_rows) < expit(logits))


def nearby_edges(n_rows: int, coupling: float) -> csr_array:
    """Return seven out of ten thousand nearby rows, made symmetric: as many edges as ten neighbours make."""
    rng = np.random.default_rng(1)
    node = np.repeat(np.arange(n_rows), 7)
    other = (node + rng.integers(-5000, 5000, node.size)) % n_rows
    edges = coo_array((np.ones(node.size), (node, other)), shape=(n_rows, n_rows)).tocsr()
    edges.data[:] = coupling
    edges.setdiag(0.0)
    return csr_array(edges.maximum(edges.T))


def all_pairs(bags: NDArray[np.int64]) -> csr_array:
    """Return 1 for each pair of rows of a bag, whatever its size."""
    members = csr_array((np.ones(bags.size), (np.arange(bags.size), bags)))
    pairs = csr_array(members @ members.T)
    pairs.setdiag(0.0)
    pairs.eliminate_zeros()
    return pairs


def seconds(run: Callable[[], Any]) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        run()
    return {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}


def time_counts(bag: int) -> dict[str, float]:
    logits, bags, counts = draw(ROWS, bag)
    factor = count_factor(bags, ExactCount(counts), ROWS, method="exact")
    factor.messages(logits)
    return seconds(lambda: factor.messages(logits))


def time_propagation(bag: int) -> dict[str, float]:
    logits, bags, counts = draw(ROWS, bag)
    factor = count_factor(bags, ExactCount(counts), ROWS)
    edges = nearby_edges(ROWS, 0.1)
    belief_propagation(logits[:64], graph=edges[:64, :64], max_iter=1)  # compiled before the clock starts
    factor.messages(logits)
    return seconds(lambda: belief_propagation(logits, graph=edges, factor=factor, max_iter=50, tol=0))


def time_form(bag: int, what: str) -> dict[str, float]:
    logits, bags, counts = draw(FEW_ROWS, bag)
    graph: csr_array = nearby_edges(FEW_ROWS, 1.0)
    factor: CountFactor | None = None
    if what.startswith("factor"):
        factor = count_factor(bags, QuadraticCount(counts, STRENGTH), FEW_ROWS)
    else:
        graph = graph - STRENGTH * all_pairs(bags)
        logits = logits - STRENGTH * (np.bincount(bags) - 2 * counts)[bags]
    if what == "pgmax":
        return time_pgmax(logits, graph)
    stop = {"tol": 1e-3 if what.endswith("run") else 1e-12, "damping": 0.0 if what == "factor_run" else 0.5}
    last: dict[str, float] = {}

    def run(passes: int = 100) -> None:
        found = belief_propagation(logits, graph=graph, factor=factor, max_iter=passes, **stop)
        last.update(residual=float(found.residuals[-1]), passes=found.n_iter)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        run(1)
    return {**seconds(run), **last}


def time_pgmax(logits: NDArray[np.float64], graph: csr_array) -> dict[str, float]:
    jax = importlib.import_module("jax")
    extend = importlib.import_module("jax.extend.backend")
    if not hasattr(jax.lib, "xla_bridge"):  # PGMax 0.6.1 asks here; newer JAX has it elsewhere
        jax.lib.xla_bridge = SimpleNamespace(get_backend=extend.get_backend)
    vgroup, fgroup, fgraph, infer = (
        importlib.import_module(f"pgmax.{name}") for name in ("vgroup", "fgroup", "fgraph", "infer")
    )
    start = time.perf_counter(), time.process_time()
    variables = vgroup.NDVarArray(num_states=2, shape=logits.shape)
    edges = triu(graph, format="coo")
    potentials = np.zeros((edges.nnz, 2, 2))
    potentials[:, 0, 1] = potentials[:, 1, 0] = -edges.data
    pairs = [[variables[int(i)], variables[int(j)]] for i, j in zip(edges.row, edges.col, strict=True)]
    model = fgraph.FactorGraph(variable_groups=variables)
    model.add_factors(fgroup.PairwiseFactorGroup(pairs, log_potential_matrix=potentials))
    engine = infer.build_inferer(model.bp_state, backend="bp")
    evidence = np.stack([np.zeros_like(logits), logits], axis=1)
    arrays = engine.init(evidence_updates={variables: evidence})
    build = {
        "build_seconds": time.perf_counter() - start[0],
        "build_cpu_seconds": time.process_time() - start[1],
    }
    changes: list[float] = []

    def run() -> None:
        _, change = engine.run_with_diffs(arrays, num_iters=100, damping=0.5, temperature=1.0)
        changes[:] = [float(change[-1])]

    run()  # compiles
    return {**seconds(run), "residual": changes[0], "passes": 100, **build}


def time_pipeline(bag: int, what: str) -> dict[str, float]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(ROWS, 32))
    y = rng.random(ROWS) < expit(X[:, :8] @ np.linspace(1, 0.3, 8) - 1.5)
    bags = np.arange(ROWS) // bag
    given = {"bags": bags, "counts": np.bincount(bags, y)}
    model = PIPELINES[what](random_state=0)
    few = slice(64 * bag)  # compiled before the clock starts
    clone(model).fit(X[few], bags=bags[few], counts=given["counts"][:64])
    neighbour_graph(X[few], search="cells")
    whole = seconds(lambda: model.fit(X, **given))
    parts = {"build": seconds(lambda: neighbour_graph(StandardScaler().fit_transform(X)))}
    learner = model.estimator_ if what == "default" else clone(model.estimator_).set_params(max_iter=1)
    parts["learner"] = seconds(lambda: fit_soft_labels(learner, X, model.transduce_proba_[:, 1]))
    found = {f"{part}_{name}": value for part, timed in parts.items() for name, value in timed.items()}
    bound = found["build_cpu_seconds"] + found["learner_cpu_seconds"]
    print(f"{what}: graph {found['build_cpu_seconds']:.1f}, an epoch of the learner", end=" ")
    print(f"{found['learner_cpu_seconds']:.1f}, whole {whole['cpu_seconds']:.1f} CPU s", end=" ")
    print(f"= {whole['cpu_seconds'] / bound:.2f} of graph and epoch", flush=True)
    return {**whole, **found, "rounds": getattr(model, "n_rounds_", model.n_rounds)}


def time_one(options: dict[str, Any]) -> dict[str, float]:
    what, bag = options["what"], options["bag"]
    if what in FORMS:
        found = time_form(bag, what)
    elif what in PIPELINES:
        found = time_pipeline(bag, what)
    else:
        found = time_counts(bag) if what == "counts" else time_propagation(bag)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    nothing = dict.fromkeys(("residual", "passes", "rounds", *PARTS), float("nan"))
    return {**nothing, **found, "peak_mb": peak}


def main() -> None:
    if own_process.answer_if_asked(time_one):
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, nargs="+", default=[0])
    parser.add_argument("--what", nargs="+", default=["counts", "propagation", *FORMS, *PIPELINES])
    options = parser.parse_args()
    bags = dict.fromkeys(["counts", "propagation"], (8, 32, 128, 512, 2048))
    bags |= dict.fromkeys(PIPELINES, (32,))
    results = ResultsFile("count_factors", key=("what", "bag", "repeat"))
    for what in options.what:
        if what == "pgmax" and importlib.util.find_spec("pgmax") is None:
            print("pgmax cannot be imported: left out")
            continue
        for bag, repeat in itertools.product(bags.get(what, (8, 32, 128)), options.repeats):
            run = {"what": what, "bag": bag, "repeat": repeat}
            if results.holds(run):
                continue
            measured = own_process.measure(run, {})
            results.append({**run, **measured, **circumstances("numpy", "numba", "scikit-learn")})
            print({**run, **measured}, flush=True)


if __name__ == "__main__":
    main()
