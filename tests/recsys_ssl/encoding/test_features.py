import json

import numpy as np
import pandas as pd
import pytest

from recsys_ssl.encoding.features import (
    MASK,
    MISSING,
    NUM_RESERVED,
    OOV,
    Category,
    Dense,
    MultiCategory,
    from_json,
    infer_features,
    to_json,
)
from sparse_data import Bags

ALL = [Category("sex"), MultiCategory("genres", combiner="sqrtn"), Dense("age")]


def test_the_reserved_rows_differ():
    assert sorted([MISSING, OOV, MASK]) == list(range(NUM_RESERVED))
    assert MISSING == 0


def test_declarations_survive_json():
    assert from_json(json.loads(json.dumps(to_json(ALL)))) == ALL


def test_an_unknown_combiner_is_refused():
    with pytest.raises(ValueError, match="`combiner` must be one of 'mean', 'sum', 'sqrtn'; got 'max'"):
        MultiCategory("genres", combiner="max")


def test_kinds_are_inferred():
    table = {
        "item_id": [1, 2, 3, 4],
        "title": ["Alien", "Brazil", "Casablanca", "Dune"],
        "studio": ["x", "y", "x", "y"],
        "year": [1979, 1985, 1979, 1985],
        "sequel": [True, False, False, True],
        "length": [117.0, 142.0, np.nan, 137.0],
        "genres": [["horror"], [], ["war", "love"], ["sand"]],
        "tags": Bags.from_lists([[1], [2], [3], [4]]),
        "vector": np.zeros((4, 3)),
    }
    assert infer_features(table, leave_out=["item_id"]) == [
        Category("studio"),
        Category("year"),
        Category("sequel"),
        Dense("length"),
        MultiCategory("genres"),
        MultiCategory("tags"),
        Dense("vector"),
    ]


def test_values_of_which_half_are_doubled_are_a_category_still():
    assert infer_features({"half": ["a", "a", "b", "b"]}) == [Category("half")]
    assert infer_features({"more": ["a", "a", "b", "c"]}) == []


def test_frames_are_inferred_alike():
    frame = pd.DataFrame({"age": [31.0, 40.0], "sex": ["F", "F"], "genres": [["a"], ["b", "c"]]})
    assert infer_features(frame) == [Dense("age"), Category("sex"), MultiCategory("genres")]
