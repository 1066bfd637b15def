"""The callback without a line of code: asked for by an environment variable, where a project cannot be edited.

Lightning asks the entry points of each installed package for callbacks whenever a Trainer is made. With
``LIGHTNING_GAMMABO`` unset, or ``0``, there are none; with ``1`` there is a
:class:`~lightning_gammabo.GammaLRSearch`, and with ``key=value,...`` one with these arguments.
"""

from __future__ import annotations

import difflib
import os
from typing import TYPE_CHECKING, Any

# most Trainers want nothing of this: what is imported here is paid for by all of them
if TYPE_CHECKING:
    from lightning_gammabo.callback import GammaLRSearch

__all__ = ["VARIABLE", "argument_types", "callbacks_factory", "parse"]

VARIABLE = "LIGHTNING_GAMMABO"
_OFF = ("", "0", "false", "no", "off")
_ON = ("1", "true", "yes", "on")


def callbacks_factory() -> list[Any]:
    """What Lightning calls for each Trainer that is made.

    Returns:
        A callback that puts a search into the Trainer when it begins to fit, if the environment asks for one and the
        Trainer has none by then; else nothing.
    """
    text = os.environ.get(VARIABLE, "").strip()
    if text.lower() in _OFF:
        return []
    from lightning_gammabo.cli.autoload import AutoloadedSearch

    return [AutoloadedSearch(_search(text))]


def parse(text: str) -> dict[str, Any]:
    """The arguments that a value of the variable asks for.

    Args:
        text: ``1``, or ``key=value,...``. Keys are arguments of the callback, and ``policy.FIELD`` for a field of its
            policy. Values are YAML scalars, or lists of them in brackets; a list for ``sampler`` is a list of rates.

    Returns:
        Arguments of :class:`~lightning_gammabo.GammaLRSearch`.

    Raises:
        ValueError: if a part is no ``key=value``, a key is no argument or comes twice, or a value is no YAML.

    Example:
        >>> parse("sampler=grid, max_lr=0.5, report=null")
        {'sampler': 'grid', 'max_lr': 0.5, 'report': None}
        >>> parse("policy.base=once, policy.first_model=2")["policy"].n_first
        4
    """
    if text.strip().lower() in _ON:
        return {}
    types = argument_types()
    given: dict[str, Any] = {}
    for part in _parts(text):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not value:
            raise ValueError(f"{part.strip()!r} is no key=value; write '1', or for example 'sampler=grid,max_lr=0.5'")
        if key not in types:
            close = difflib.get_close_matches(key, types, n=1)
            meant = f" (did you mean {close[0]!r}?)" if close else ""
            raise ValueError(f"GammaLRSearch has no argument {key!r}{meant}. Its arguments are {', '.join(types)}")
        if key in given:
            raise ValueError(f"{key!r} is given twice")
        given[key] = _value(key, value, types[key])
    return _assembled(given)


def _search(text: str) -> GammaLRSearch:
    from lightning_gammabo.callback import GammaLRSearch

    try:
        return GammaLRSearch(**parse(text))
    except (TypeError, ValueError) as error:
        raise type(error)(f"environment variable {VARIABLE}={text!r}: {error}") from error


def _assembled(given: dict[str, Any]) -> dict[str, Any]:
    # fields of the policy make one, and a list of rates a sampler
    from lightning_gammabo.bayesopt import ListSampler
    from lightning_gammabo.policy import SearchPolicy

    changed = {key.partition(".")[2]: given.pop(key) for key in list(given) if "." in key}
    policy = given.get("policy")
    if isinstance(policy, dict):
        changed = {**policy, **changed}
    elif changed and policy is not None:
        changed = {"base": policy, **changed}
    if changed:
        given["policy"] = SearchPolicy(**changed)
    if isinstance(given.get("sampler"), list):
        given["sampler"] = ListSampler(given["sampler"])
    return given


def argument_types() -> dict[str, set[type]]:
    """What the callback's arguments may be.

    Returns:
        Types by name; a field of the policy is ``policy.FIELD``.
    """
    import inspect
    import typing

    from lightning_gammabo.callback import GammaLRSearch
    from lightning_gammabo.policy import SearchPolicy

    hints = typing.get_type_hints(GammaLRSearch.__init__)
    types = {name: set(_leaves(hints[name])) for name in inspect.signature(GammaLRSearch).parameters}
    types["sampler"].add(float)  # of a list
    fields = typing.get_type_hints(SearchPolicy)
    return types | {f"policy.{name}": set(_leaves(fields[name])) for name in inspect.signature(SearchPolicy).parameters}


def _leaves(hint: Any) -> list[Any]:
    import typing

    within = [arg for arg in typing.get_args(hint) if arg is not ...]
    if typing.get_origin(hint) is typing.Literal:
        return [type(arg) for arg in within]
    return [leaf for arg in within for leaf in _leaves(arg)] if within else [hint]


def _parts(text: str) -> list[str]:
    # at the commas that stand outside of brackets and quotes
    parts, depth, quote = [""], 0, ""
    for char in text:
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        depth += (char in "[{") - (char in "]}") if not quote else 0
        if char == "," and not quote and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    if quote or depth:
        raise ValueError(f"a {'quote' if quote else 'bracket'} is not closed")
    return parts


def _value(key: str, text: str, types: set[type]) -> Any:
    import yaml

    try:
        return _typed(yaml.safe_load(text), text, types)
    except yaml.YAMLError as error:
        raise ValueError(f"{key}={text!r} is no YAML scalar or list: {' '.join(str(error).split())}") from error


def _typed(value: Any, text: str, types: set[type]) -> Any:
    if isinstance(value, list):
        return [_typed(item, str(item), types) for item in value]
    if isinstance(value, str) and float in types:
        try:
            return float(value)  # YAML 1.1 takes 1e-3 for a word
        except ValueError:
            return value
    if value is not None and str in types and not types & {bool, int, float}:
        return value if isinstance(value, (str, dict)) else text  # a name that looks like a number
    return value
