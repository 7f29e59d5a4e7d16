import numpy as np
import pytest

from recsys_ssl.losses.mixed_sampling import mixed_sampling_log_probability


def test_golden_probabilities_of_mixed_sampling():
    # Items of frequency 1/2, 1/10 and 0; 3 pairs and 2 uniform draws a batch from a corpus of 4.
    log_q = mixed_sampling_log_probability(np.array([0.5, 0.1, 0.2]), batch=3, uniform=2, corpus=4)
    np.testing.assert_allclose(np.exp(log_q), [0.4, 0.16, 0.22], rtol=1e-12)


def test_mixed_sampling_probabilities_add_up_to_one():
    q = np.random.default_rng(0).dirichlet(np.ones(50))
    log_q = mixed_sampling_log_probability(q, batch=17, uniform=5, corpus=50)
    assert np.exp(log_q).sum() == pytest.approx(1.0)


def test_mixed_sampling_of_an_item_without_a_chance_is_finite():
    log_q = mixed_sampling_log_probability(np.array([0.0, 1.0]), batch=4, uniform=0, corpus=2)
    assert np.isfinite(log_q).all()
    assert log_q[1] == 0.0


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"q": [-0.1]}, ValueError, "`q` must be non-negative"),
        ({"q": [np.nan]}, ValueError, "`q` must be non-negative"),
        ({"q": [3.0]}, ValueError, "Pass probabilities, not counts"),
        ({"batch": 0}, ValueError, "`batch` must be at least 1"),
        ({"uniform": -1}, ValueError, "`uniform` must be at least 0"),
        ({"corpus": 0}, ValueError, "`corpus` must be at least 1"),
        ({"batch": 1.5}, TypeError, "`batch` must be an integer"),
    ],
)
def test_mixed_sampling_refuses(changes, error, message):
    arguments = {"q": [0.5], "batch": 2, "uniform": 1, "corpus": 2, **changes}
    with pytest.raises(error, match=message):
        mixed_sampling_log_probability(np.array(arguments.pop("q")), **arguments)
