"""Parts worked on in threads: all of them, in order, and no error is lost."""

from __future__ import annotations

import pytest

from noisy_labels.proportions.threads import in_threads


def test_answers_come_in_the_order_of_the_parts():
    assert in_threads(lambda part: part * part, range(40)) == [part * part for part in range(40)]


def test_an_error_in_a_part_is_an_error():
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda part: 1 // part, [1, 0, 2])
