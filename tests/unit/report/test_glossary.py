from __future__ import annotations

<<<<<<< HEAD
import pytest

=======
>>>>>>> integ
from lightning_gammabo.records import TrialState
from lightning_gammabo.report.glossary import GLOSSARY


<<<<<<< HEAD
@pytest.mark.parametrize("word", [state.value for state in TrialState if state is not TrialState.COMPLETE])
def test_every_way_a_candidate_may_end_early_is_explained(word: str) -> None:
    assert word in GLOSSARY


@pytest.mark.parametrize(("word", "meaning"), GLOSSARY.items())
def test_an_explanation_is_a_sentence(word: str, meaning: str) -> None:
    assert meaning[0].isupper()
    assert meaning.endswith(".")
    assert "  " not in meaning
=======
def test_words_that_tables_and_pictures_use_are_explained() -> None:
    states = {state.value for state in TrialState} - {"complete"}
    assert states | {"committed", "search score", "peak", "noise", "recovery", "kappa", "pass"} <= set(GLOSSARY)
    assert all(meaning.endswith(".") for meaning in GLOSSARY.values())
>>>>>>> integ
