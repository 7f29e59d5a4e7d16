"""Arguments that once led to errors of other libraries, or to none: each is refused by its name."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

import noisy_labels as nl

Y = np.array([0, 1, 2] * 4)
P = np.full((12, 3), 0.15) + 0.55 * np.eye(3)[Y]
X = np.linspace(0, 1, 24).reshape(12, 2)
BAGS, COUNTS, SIZES = np.repeat([0, 1, 2], 4), np.array([1, 2, 3]), np.full(3, 4)
ROWS = {"X": X, "bags": BAGS, "counts": COUNTS}
LOGITS = np.linspace(-2, 2, 12)
WORKERS = np.array(["ann", "bob", "cas"] * 4)
VOTES = {"items": np.repeat(np.arange(4), 3), "workers": WORKERS, "labels": Y}
RECORDS = np.zeros(12, [("a", "i4")])


def refused(table):
    """Check that each call of a table raises what is written behind it."""
    for call, error, message in table:
        with pytest.raises(error, match=message):
            call()


def test_confident_learning():
    joint = np.array([[6, 2], [1, 2]])
    table = [
        (lambda seed=seed: nl.num_label_issues(Y, P, random_state=seed), (TypeError, ValueError), message)
        for seed, message in (
            (0.5, "`random_state` must be an integer"),
            (-1, "`random_state` must be at least"),
        )
    ]
    table += [
        (lambda: nl.label_quality(Y, P, adjust=pd.NA), TypeError, "`adjust` must be True or False; got <NA>"),
        (lambda: nl.ensemble_label_quality(Y, pd.NaT), TypeError, "`pred_probs` must be a list; got NaTType"),
        (lambda: nl.ensemble_label_quality(Y, []), ValueError, "`pred_probs` must hold at least one"),
        (
            lambda: nl.calibrate_confident_joint(joint * np.inf, [12, 3]),
            ValueError,
            "`joint` must be finite",
        ),
        (
            lambda: nl.calibrate_confident_joint(joint, 3),
            ValueError,
            "`label_counts` must be 1-dimensional",
        ),
        (
            lambda: nl.calibrate_confident_joint(joint, [2**63 - 1, 1]),
            ValueError,
            "`label_counts` must add up to at most",
        ),
        (
            lambda: nl.estimate_latent_noise(joint, [12, 3], converge=pd.NA),
            TypeError,
            "`converge` must be True or False",
        ),
        (
            lambda: nl.multilabel_quality(np.full((12, 3), "a"), P),
            ValueError,
            "`labels` must be 0 and 1, a column a class; got dtype <U1. Use",
        ),
        (
            lambda: nl.ConfidentJoint().merge(nl.ConfidentJoint),
            TypeError,
            "`other` must be of type ConfidentJoint",
        ),
        (lambda: nl.audit_labels(Y, P, method=pd.NA), ValueError, "`method` must be one of"),
    ]
    refused(table)


def test_long_doubles_are_read_as_doubles():
    assert (nl.find_label_issues(Y, P.astype(np.longdouble)) == nl.find_label_issues(Y, P)).all()


def test_confident_learning_classifier():
    def fit(estimator=None, x=X, groups=None, **settings):
        tree = DecisionTreeClassifier() if estimator is None else estimator
        return nl.ConfidentLearningClassifier(tree, **{"cv": 2, **settings}).fit(x, Y, groups=groups)

    fitted = fit(n_rounds=1, validation_folds=0, random_state=np.random.default_rng(0))
    refused(
        [
            (lambda: fit(len), TypeError, "`estimator` must be a classifier"),
            (lambda: fit(DecisionTreeClassifier), TypeError, "`estimator` must be a classifier"),
            (lambda: fit(random_state=0.5), TypeError, "`random_state` must be an integer"),
            (lambda: fit(groups=[0, 1]), ValueError, "`groups` one value for each; .*inconsistent numbers"),
            (lambda: fit(cv="1"), TypeError, "`cv` must be a number of folds, a splitter or"),
            (lambda: fit(x=np.full((12, 2), "a")), ValueError, "`X` must be what the estimator takes"),
            (
                lambda: fitted.predict(np.full((12, 2), "a")),
                ValueError,
                "`X` must be what the estimator takes",
            ),
            (lambda: fitted.predict_proba([]), ValueError, "`X` must be what the estimator takes"),
        ]
    )


def test_crowds_audits_and_transitions():
    models = {"large": Y, "small": Y[::-1]}
    ragged = np.empty(4, dtype=object)
    ragged[:] = [0, 1, 2, [3]]
    refused(
        [
            (
                lambda: nl.crowdlab(**VOTES, pred_probs=P[:4], item_ids=ragged),
                TypeError,
                "`item_ids` must be names",
            ),
            (lambda: nl.dawid_skene(**VOTES, smoothing=5e-324), ValueError, "`smoothing` must be in"),
            (lambda: nl.one_coin(**VOTES, smoothing=1e300), ValueError, "`smoothing` must be in"),
            (
                lambda: nl.benchmark_stability(models, Y, RECORDS),
                TypeError,
                "`corrected` must be labels like those in `labels`",
            ),
            (
                lambda: nl.benchmark_stability({"large": RECORDS}, Y, np.roll(Y, 1) % 2),
                TypeError,
                "`large` must be labels like those in `labels`",
            ),
            (lambda: nl.transition_hoc(Y, X * 1e200), ValueError, "`features` must be within 1e\\+140"),
        ]
    )


def test_one_coin_with_little_smoothing_is_finite():
    found = nl.one_coin(VOTES["items"], WORKERS, np.repeat([0, 1, 0, 1], 3), smoothing=1e-100)
    assert np.isfinite(found.worker_quality).all()


def test_counts_of_bags():
    factor = nl.count_factor(BAGS, nl.ExactCount(COUNTS), 12)

    def of(potential):
        return potential.log_values(SIZES)

    interval = nl.IntervalCount.from_proportions
    refused(
        [
            (lambda: nl.CustomCount(3), TypeError, "`log_potential` must be callable; got 3"),
            (lambda: of(nl.CustomCount(len)), TypeError, "`log_potential` must be a function of three"),
            (lambda: of(nl.CustomCount(lambda c, m, b: ["a"])), TypeError, "`log_potential` must be numeric"),
            (
                lambda: of(nl.CustomCount(lambda c, m, b: [0.0])),
                ValueError,
                "`log_potential` must be one number",
            ),
            (lambda: of(nl.AtLeastOne([[1], [1, 2]])), ValueError, "`positive` must be an array"),
            (lambda: of(nl.AtLeastOne([1j, 0, 1])), TypeError, "`positive` must be numeric"),
            (lambda: of(nl.IntervalCount(["a", "b", "c"], COUNTS)), TypeError, "`low` must be numeric"),
            (
                lambda: of(nl.IntervalCount(COUNTS, -COUNTS)),
                ValueError,
                "`low`, `high` must allow some count",
            ),
            (
                lambda: of(nl.QuadraticCount([1e300, 2, 3])),
                ValueError,
                "`counts`, `strength` must allow some",
            ),
            (lambda: interval(["a", 0.5, 1], 0.1, SIZES), TypeError, "`proportions` must be numeric"),
            (lambda: interval([0.2, 0.5, 1], None, SIZES), TypeError, "`half_width` must be a number"),
            (lambda: interval([0.2, 0.5, 1], 0.1, [4, 4]), ValueError, "`proportions` must be one a bag, 2"),
            (lambda: interval([0.2], 0.1, [4.0]), TypeError, "`sizes` must be of an integer dtype"),
            (
                lambda: nl.count_posterior(LOGITS, BAGS, 3),
                TypeError,
                "`potential` must be of type CountPotential",
            ),
            (lambda: nl.count_factor(BAGS, 3, 12), TypeError, "`potential` must be of type CountPotential"),
            (lambda: nl.count_factor(BAGS, nl.AtLeastOne(), pd.NA), TypeError, "`n_rows` must be an integer"),
            (
                lambda: nl.count_log_likelihood(LOGITS[1:], factor),
                ValueError,
                "`logits` must be one a row of the",
            ),
            (
                lambda: nl.count_error(LOGITS[:0], factor),
                ValueError,
                "`logits` must be one a row of the bags, 12",
            ),
            (lambda: nl.count_error(LOGITS, 3), TypeError, "`factor` must be of type CountFactor"),
        ]
    )


@pytest.mark.parametrize("small", [np.uint8, np.float16])
def test_numbers_of_few_bits_are_computed_with_as_doubles(small):
    exact = nl.SuppressedCount([np.nan, 2.0, 3.0], 2, 3.0).log_values(SIZES)
    given = nl.SuppressedCount([np.nan, 2.0, 3.0], 2, small(3)).log_values(SIZES)
    np.testing.assert_array_equal(given.values, exact.values)
    graph = csr_array(np.ones((12, 12)) - np.eye(12))
    beliefs = nl.belief_propagation(LOGITS, graph=graph * 0.01, damping=np.float16(0.5))
    assert beliefs.converged


def test_classifiers_of_bags():
    model = nl.BagRidge().fit(**ROWS)

    def fit(kind, **changes):
        settings = {name: changes.pop(name) for name in list(changes) if name not in (*ROWS, "y", "graph")}
        return kind(**settings).fit(**{**ROWS, **changes})

    short = {"estimator": LogisticRegression(), "n_rounds": 1}
    refused(
        [
            (lambda: fit(nl.BagRidge, X=3), ValueError, "`X` must be rows of numbers; Expected 2D array"),
            (lambda: fit(nl.BagRidge, X=X * 1e200), ValueError, "`X` must be within 1e\\+140"),
            (lambda: fit(nl.BagRidge, alphas=2.5), ValueError, "`alphas` must be 1-dimensional"),
            (lambda: nl.BagRidge().fit(X, ["a", "b"]), ValueError, "`y` a label for each; .*inconsistent"),
            (
                lambda: model.predict(X[:, :0]),
                ValueError,
                "`X` must be rows of numbers, as in `fit`; .*0 feature",
            ),
            (lambda: model.predict(X * 1e200), ValueError, "`X` must be within 1e\\+140"),
            (lambda: model.score(X), ValueError, "`bags` or `y` must be given"),
            (lambda: model.score(X, [1, 2]), ValueError, "`y` must be a label a row of `X`"),
            (
                lambda: fit(nl.LabelProportionsClassifier, **short, random_state=0.5),
                TypeError,
                "`random_state` must be an integer",
            ),
            (
                lambda: fit(nl.LabelProportionsClassifier, **short, graph=3),
                ValueError,
                "`graph` must be a sparse matrix of shape \\(12, 12\\); got int",
            ),
            (
                lambda: fit(nl.LLPBeliefPropagationClassifier, **short, graph="a"),
                ValueError,
                "`graph` must be a sparse matrix of shape",
            ),
            (lambda: fit(nl.LaplacianMeanMap, smoothness=1e300), ValueError, "`smoothness` must be in"),
            (lambda: nl.neighbour_graph(X[:, :0]), ValueError, "`X` must be non-empty"),
            (lambda: nl.BagBatches(X, BAGS, COUNTS / 4, shuffle=pd.NA), TypeError, "`shuffle` must be True"),
        ]
    )


def test_layers_and_losses():
    pytest.importorskip("keras")
    nested = nl.NestedDropout
    refused(
        [
            (lambda: nl.EasyLLPLoss(prior="half"), TypeError, "`prior` must be numeric"),
            (lambda: nl.EasyLLPLoss(prior=0.5, bounded=pd.NA), TypeError, "`bounded` must be True or False"),
            (lambda: nl.DLLPLoss(from_logits=pd.NA), TypeError, "`from_logits` must be True or False"),
            (
                lambda: nl.GeneralizedCrossEntropy(from_logits=3),
                TypeError,
                "`from_logits` must be True or False",
            ),
            (
                lambda: nl.GeneralizedCrossEntropy(reduction=["sum"]),
                TypeError,
                "`reduction` must be of type str",
            ),
            (lambda: nl.SoftBootstrap(reduction=["sum"]), TypeError, "`reduction` must be of type str"),
            (
                lambda: nl.SparseOverParameterization(n_rows=5, n_classes=3, seed=2**63),
                ValueError,
                "`seed` must be at most",
            ),
            (lambda: nl.CompressionDropout(0.5, seed=0.5), TypeError, "`seed` must be an integer"),
            (lambda: nested(10.0, seed="a"), TypeError, "`seed` must be an integer"),
            (
                lambda: nested(10.0, distribution=pd.NaT),
                TypeError,
                "`distribution` must be a list; got NaTType",
            ),
            (lambda: nested(10.0, distribution=["a"]), TypeError, "`distribution` must be numeric"),
            (lambda: nested(10.0, mu=1e300), ValueError, "`mu` must be in"),
            (lambda: nested(5e-324), ValueError, "`sigma` must be in"),
        ]
    )


def test_networks_and_graphs():
    graph = {"edge_index": np.array([[0, 1], [1, 2]])}
    nodes, labels = np.eye(12), Y % 2
    paired = nl.CoTeachingClassifier(epochs=1, verbose=False)
    refused(
        [
            (lambda: paired.fit([[1], [1, 2]], [0, 1]), ValueError, "`X` must be rows of numbers, and `y`"),
            (lambda: paired.fit(X, LOGITS), ValueError, "`y` a label for each; Unknown label type"),
            (
                lambda: nl.GraphNetworkClassifier(learning_rate=1e300).fit(nodes, labels, **graph),
                ValueError,
                "`learning_rate` must be in",
            ),
            (
                lambda: nl.GraphNetworkClassifier(random_state="a").fit(nodes, labels, **graph),
                TypeError,
                "`random_state` must be an integer",
            ),
            (
                lambda: nl.ERASEClassifier(num_neighbors=3).fit(nodes, labels, **graph),
                TypeError,
                "`num_neighbors` must be a list",
            ),
        ]
    )


def test_denoising_refuses_options_that_are_no_bools():
    from sparse_data.sparse_pattern import SparsePattern

    path = SparsePattern.from_entries(torch.tensor([[0, 1], [1, 0]]), (2, 2))
    for name in ("whole_graph", "normalize"):
        with pytest.raises(TypeError, match=f"`{name}` must be True or False"):
            nl.denoise_labels(torch.tensor([0, 1]), path, n_classes=2, **{name: pd.NA})
