from __future__ import annotations

import pytest

from lightning_gammabo.records.words import count, percent, short_time


@pytest.mark.parametrize(("n", "words"), [(0, "0 epochs"), (1, "1 epoch"), (2, "2 epochs")])
def test_a_noun_is_in_the_plural_unless_there_is_one(n: int, words: str) -> None:
    assert count(n, "epoch") == words


@pytest.mark.parametrize(("share", "words"), [(0.0, "0.0 %"), (0.9716, "97.2 %"), (1.0, "100.0 %"), (2.5, "250.0 %")])
def test_a_share_is_in_percent(share: float, words: str) -> None:
    assert percent(share) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (99.4, "99 s"), (99.6, "1:40"), (3599.4, "59:59"),
        (3599.6, "1.0 h"), (7500.0, "2.1 h"),
    ],
)  # fmt: skip
def test_a_time_has_a_few_characters_on_both_sides_of_each_change_of_unit(seconds: float, words: str) -> None:
    assert short_time(seconds) == words
