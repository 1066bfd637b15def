from __future__ import annotations

import pytest

from lightning_gammabo.records import TrialState
from lightning_gammabo.report.glossary import GLOSSARY


@pytest.mark.parametrize("word", [state.value for state in TrialState if state is not TrialState.COMPLETE])
def test_every_way_a_candidate_may_end_early_is_explained(word: str) -> None:
    assert word in GLOSSARY


@pytest.mark.parametrize(("word", "meaning"), GLOSSARY.items())
def test_an_explanation_is_a_sentence(word: str, meaning: str) -> None:
    assert meaning[0].isupper()
    assert meaning.endswith(".")
    assert "  " not in meaning
