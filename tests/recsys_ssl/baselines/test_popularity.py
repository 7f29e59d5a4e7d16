import numpy as np

from recsys_ssl.baselines import Popularity
from sparse_data.datasets import Interactions


def test_by_hand():
    log = Interactions(["u", "v", "w", "w", "x"], ["a", "b", "b", "c", "b"])
    model = Popularity().fit(log)
    items, scores = model.recommend(["u", "w"], k=3, filter_seen=False)
    assert items.tolist() == [["b", "a", "c"]] * 2
    np.testing.assert_allclose(scores, [[3 / 5, 1 / 5, 1 / 5]] * 2, rtol=1e-6)
    assert model.recommend("w", k=1)[0].tolist() == [["a"]]


def test_weights_are_added_up():
    log = Interactions(["u", "v", "v"], ["a", "b", "b"], weights=[5.0, 1.0, 2.0])
    np.testing.assert_allclose(Popularity().fit(log).score(["u", "u"], ["a", "b"]), [5 / 8, 3 / 8], rtol=1e-6)
