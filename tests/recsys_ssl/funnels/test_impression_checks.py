import numpy as np
import pytest

from recsys_ssl.funnels.impression_checks import Outcomes, warn_of_leaks
from sparse_data import Bags


def test_leaks_are_found_in_vectors_and_among_bags():
    generator = np.random.default_rng(0)
    n = 200
    clicks = np.arange(n) % 2 == 0
    conversions = np.arange(n) % 4 == 0
    columns = {
        "noise": generator.normal(size=n),
        "bags": Bags.from_lists([[1]] * n),
        "vector": np.stack([generator.normal(size=n), conversions + 0.0], axis=1),
    }
    with pytest.warns(UserWarning, match=r"vector\[1\]"):
        assert warn_of_leaks(columns, clicks, conversions, seed=0) == ["vector[1]"]
    assert warn_of_leaks(columns, clicks, clicks, seed=0) == []


def test_outcomes_add_up():
    one = Outcomes.of(np.array([True, True, False]), np.array([True, False, False]))
    assert one == (3, 2, 1)
    assert one.plus(one) == (6, 4, 2)
