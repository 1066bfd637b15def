"""A page of the parser becomes a sentence; an error of the user's own keeps its traceback."""

from __future__ import annotations

import pytest

from lightning_gammabo import GammaLRSearch
from lightning_gammabo.cli.sentences import of_exception, of_parser

UNION = """Parser key "search.policy":
  Does not validate against any of the Union subtypes
  Subtypes: [<class 'str'>, <class 'lightning_gammabo.policy.SearchPolicy'>]
  Errors:
    - Expected a <class 'str'>
    - Problem with given class_path 'lightning_gammabo.SearchPolicy':
        Option 'later_candidate' is not accepted
  Given value type: <class 'jsonargparse._util.NestedArg'>
  Given value: NestedArg(key='later_candidate', val='3')"""
NUMBER = """Parser key "search.max_lr":
  Does not validate against any of the Union subtypes
  Errors:
    - Expected a <class 'float'>
    - Expected a <class 'NoneType'>
  Given value type: <class 'str'>
  Given value: high"""
LITERAL = """Parser key "search.policy":
  Errors:
    - Problem with given class_path 'lightning_gammabo.SearchPolicy':
        Parser key "base":
          Expected a typing.Literal['once', 'thesis']. Got value: onse
  Given value: x"""
MODEL = """Parser key "model":
  Errors:
    - Problem with given class_path 'nothere.Model':
        No module named 'nothere'
    - Expected a <class 'NoneType'>"""


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (UNION, "search.policy: SearchPolicy has no argument 'later_candidate' (did you mean 'later_candidates'?)"),
        (NUMBER, "search.max_lr=high: need float or null"),
        (LITERAL, "search.policy.base=onse: choose one of 'once', 'thesis'"),
        (MODEL, "model: nothere.Model: No module named 'nothere'"),
        (
            MODEL.replace("No module named 'nothere'", "Option 'widht' is not accepted"),
            "model: Model has no argument 'widht'",
        ),
        ("unrecognized arguments: --search.qqq=1", "there is no argument '--search.qqq'"),
        (
            "unrecognized arguments: --search.polcy 1",
            "there is no argument '--search.polcy' (did you mean '--search.policy'?)",
        ),
        ("something\n  else", "something else"),
    ],
)
def test_a_page_becomes_a_sentence(message: str, sentence: str) -> None:
    assert of_parser(message) == sentence


def caught(*arguments: object, **named: object) -> BaseException:
    with pytest.raises((TypeError, ValueError)) as raised:
        GammaLRSearch(*arguments, **named)  # type: ignore[arg-type]
    return raised.value


def test_what_the_package_raises_on_purpose_is_a_sentence() -> None:
    assert str(of_exception(caught("onse"))).startswith("policy='onse': choose one of")
    assert str(of_exception(caught(min_lr="high"))) == "min_lr='high': need a number, not str"


def test_all_other_errors_keep_their_traceback() -> None:
    with pytest.raises(ValueError, match="theirs") as raised:
        raise ValueError("theirs")
    assert of_exception(raised.value) is None
    assert of_exception(ValueError("never raised")) is None
    assert of_exception(caught("once", "once", "once")) is None  # Python's own words
    assert of_exception(KeyboardInterrupt()) is None
