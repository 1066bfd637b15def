from __future__ import annotations

from lightning_gammabo.records import TrialState
from lightning_gammabo.report.glossary import GLOSSARY


def test_words_that_tables_and_pictures_use_are_explained() -> None:
    states = {state.value for state in TrialState} - {"complete"}
    assert states | {"committed", "search score", "peak", "noise", "recovery", "kappa", "pass"} <= set(GLOSSARY)
    assert all(meaning.endswith(".") for meaning in GLOSSARY.values())
