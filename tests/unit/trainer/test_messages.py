"""What a fit says, it says once."""

from __future__ import annotations

import pytest

from lightning_gammabo.trainer.messages import Voice


def said(warned: pytest.WarningsRecorder) -> list[str]:
    return [str(w.message) for w in warned]


def test_each_message_is_said_once(caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder) -> None:
    caplog.set_level("INFO")
    voice = Voice()
    for _ in range(3):
        voice.inform("that is how it is")
        voice.warn("look at this")
        voice.warn("look at that")
    assert said(recwarn) == ["GammaLRSearch: look at this", "GammaLRSearch: look at that"]
    assert caplog.text.count("GammaLRSearch: that is how it is") == 1


def test_another_fit_says_it_again() -> None:
    for voice in (Voice(), Voice()):
        with pytest.warns(UserWarning, match="GammaLRSearch: look"):
            voice.warn("look")
