from __future__ import annotations

import pytest

from lightning_gammabo.records.words import count, percent, short_time


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (99.4, "99 s"),
        (99.6, "1:40"),
        (3599.7, "1.0 h"),
        (9000, "2.5 h"),
    ],
)
def test_short_times(seconds: float, words: str) -> None:
    assert short_time(seconds) == words


def test_numbers_have_nouns() -> None:
    assert [count(n, "epoch") for n in (0, 1, 2)] == ["0 epochs", "1 epoch", "2 epochs"]
    assert percent(0.9719) == "97.2 %"
