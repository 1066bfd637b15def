"""Mistakes on a command line or in YAML, each in one sentence instead of a page."""

from __future__ import annotations

import difflib
import linecache
import re
from collections.abc import Iterable

from lightning_gammabo.cli.environment import argument_types

__all__ = ["of_exception", "of_parser"]

_KEY = re.compile(r'Parser key "([^"]+)"')
_UNKNOWN = re.compile(r"Option '([^']+)' is not accepted")
_CLASS = re.compile(r"Problem with given class_path '([^']+)':\s*\n\s*(.+)")
_EXPECTED = re.compile(r"Expected an? (.+?)(?:\. Got value: (.*))?$", flags=re.MULTILINE)
_VALUE = re.compile(r"^\s*Given value: (.*)$", flags=re.MULTILINE)


def of_parser(message: str) -> str:
    """What jsonargparse found wrong, shortened.

    Args:
        message: its words, which may be a page.

    Returns:
        A sentence.

    Example:
        >>> of_parser("unrecognized arguments: --search.samplr=grid")
        "there is no argument '--search.samplr' (did you mean '--search.sampler'?)"
    """
    known = [*argument_types()]
    unrecognized = re.search(r"unrecognized arguments: (\S+)", message)
    if unrecognized is not None:
        word = unrecognized[1].partition("=")[0]
        return f"there is no argument {word!r}{_meant(word, known, '--search.')}"
    keys, unknown, classes = _KEY.findall(message), _UNKNOWN.search(message), _CLASS.findall(message)
    where = ".".join(keys)
    if unknown is not None:
        owner = next((path for path, words in reversed(classes) if _UNKNOWN.search(words)), where)
        meant = _meant(unknown[1], (name.rpartition(".")[2] for name in known)) if "lightning_gammabo" in owner else ""
        return f"{where}: {owner.rpartition('.')[2]} has no argument {unknown[1]!r}{meant}"
    broken = [f"{path}: {words.strip()}" for path, words in classes if not _KEY.search(words)]
    if broken:
        return f"{where}: {broken[-1]}"
    expected, given = _EXPECTED.findall(message), _VALUE.findall(message)
    if where and expected:
        literal = [(kinds, value) for kinds, value in expected if kinds.startswith("typing.Literal")]
        if literal:
            return f"{where}={literal[-1][1]}: choose one of {literal[-1][0].partition('[')[2].rstrip(']')}"
        kinds = " or ".join(dict.fromkeys(re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", kind) for kind, _ in expected))
        return f"{where}={given[0] if given else '?'}: need {kinds.replace('NoneType', 'null')}"
    return " ".join(message.split())


def of_exception(error: BaseException) -> str | None:
    """The words of an error that this package raises on purpose, about its arguments or the user's run.

    Args:
        error: what was raised.

    Returns:
        The words; None of all others, whose traceback is needed.
    """
    if not isinstance(error, (TypeError, ValueError)) or error.__traceback__ is None:
        return None
    place = error.__traceback__
    while place.tb_next is not None:
        place = place.tb_next
    code = place.tb_frame.f_code
    ours = str(place.tb_frame.f_globals.get("__name__", "")).startswith("lightning_gammabo.")
    line = linecache.getline(code.co_filename, place.tb_lineno).strip()
    return str(error) if ours and line.startswith("raise ") else None


def _meant(word: str, names: Iterable[str], prefix: str = "") -> str:
    close = difflib.get_close_matches(word.removeprefix(prefix), list(names), n=1)
    return f" (did you mean {prefix + close[0]!r}?)" if close else ""
