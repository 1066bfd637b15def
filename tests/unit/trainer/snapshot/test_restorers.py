"""Single objects of every kind, changed and put back: dictionaries, sequences, slots, classes, closures, generators."""

from __future__ import annotations

import array
import itertools
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch

from lightning_gammabo.trainer.snapshot.objects import ObjectImage
from tests.unit.trainer.snapshot.kinds import Child, closure, generators


class Words(dict[str, Any]):
    """A dictionary that does more than look up: through its own methods nothing can be put back."""

    def __setitem__(self, key: str, value: object) -> None:
        raise AssertionError("written through the subclass")

    def clear(self) -> None:
        raise AssertionError("cleared through the subclass")

    def values(self) -> Any:
        raise AssertionError("read through the subclass")


@pytest.mark.parametrize("kind", [dict, OrderedDict, Counter])
def test_the_order_of_a_dictionary_is_put_back(kind: Callable[..., dict[str, int]]) -> None:
    words = kind(b=1, a=2, c=3)
    image = ObjectImage({"root": words})
    words["b"] = words.pop("b")
    assert list(words) == ["a", "c", "b"]
    image.restore()
    assert list(words.items()) == [("b", 1), ("a", 2), ("c", 3)]
    assert type(words) is kind


def test_an_ordered_dictionary_keeps_its_own_order() -> None:
    words = OrderedDict(a=1, b=2)
    image = ObjectImage({"root": words})
    words.move_to_end("a")
    image.restore()
    assert list(words) == ["a", "b"]
    assert list(reversed(words)) == ["b", "a"]


def test_a_dictionary_subclass_is_written_past_its_own_methods() -> None:
    words = Words(a=[1])
    words.note = "kept"  # type: ignore[attr-defined]
    image = ObjectImage({"root": words})
    words["a"].append(2)
    dict.__setitem__(words, "b", 3)
    words.note = "other"  # type: ignore[attr-defined]
    image.restore()
    assert list(dict.items(words)) == [("a", [1])]
    assert words.note == "kept"  # type: ignore[attr-defined]


def test_a_dictionary_with_defaults_keeps_its_factory() -> None:
    count = itertools.count()
    read, write = closure([])
    words: defaultdict[str, Any] = defaultdict(read)
    words["a"].append(1)
    image = ObjectImage({"root": words})
    write([next(count)])
    words["b"].append(2)
    words.default_factory = None
    image.restore()
    assert words == {"a": [1]}
    assert words.default_factory is read
    assert words["new"] is words["a"]


def test_a_dictionary_of_the_same_length_with_another_value_is_put_back() -> None:
    first, second = [1], [1]  # equal, not identical
    words = {"a": first}
    image = ObjectImage({"root": words})
    words["a"] = second
    image.restore()
    assert words["a"] is first


def test_a_deque_keeps_its_length() -> None:
    window = deque([1, 2, 3], maxlen=3)
    image = ObjectImage({"root": window})
    window.append(4)
    window.rotate(1)
    image.restore()
    assert window == deque([1, 2, 3])
    assert window.maxlen == 3


def test_a_list_subclass_is_put_back_in_place() -> None:
    layers = torch.nn.ParameterList([torch.nn.Parameter(torch.ones(1))])
    names = type("Names", (list,), {})(["a"])
    image = ObjectImage({"root": (layers, names)})
    names.extend("bc")
    names.label = 1
    layers.append(torch.nn.Parameter(torch.ones(2)))
    image.restore()
    assert names == ["a"]
    assert not hasattr(names, "label")
    assert len(layers) == len(list(layers.parameters())) == 1


def test_a_set_that_nobody_touched_keeps_its_order() -> None:
    words = set(range(0, 1000, 7))
    words -= set(range(900))  # a large table with few entries: its order is one of its own
    words |= {"a", "b", 3}
    order = list(words)
    assert order != list(set(order))  # a new set would have another
    ObjectImage({"root": words}).restore()
    assert list(words) == order


def test_a_set_gets_its_own_entries_back() -> None:
    mine = (1, "a" * 50)
    words = {mine, 2}
    image = ObjectImage({"root": words})
    words.clear()
    words.add((1, "a" * 50))
    image.restore()
    assert words == {mine, 2}
    assert any(entry is mine for entry in words)


@pytest.mark.parametrize("code", ["b", "d", "Q", "u"])
def test_a_typed_array_is_put_back(code: str) -> None:
    values = array.array(code, "ab" if code == "u" else [1, 2])
    before = values.tolist()
    image = ObjectImage({"root": values})
    values.pop()
    values.extend(values)
    values.append(values[0])
    image.restore()
    assert values.tolist() == before


def test_slots_are_put_back_and_empty_ones_emptied() -> None:
    held = Child([1])
    held.extra = {"n": 1}  # type: ignore[attr-defined]
    image = ObjectImage({"root": held})
    held.left.append(2)  # type: ignore[attr-defined]
    held.left, held.right = 3, 4
    held.write("other")
    held.extra["n"] = 5  # type: ignore[attr-defined]
    image.restore()
    assert held.left == [1]
    assert not hasattr(held, "right")
    assert held.read() == [held.left]
    assert held.extra == {"n": 1}  # type: ignore[attr-defined]


def test_an_attribute_dictionary_that_was_exchanged_comes_back() -> None:
    held = type("Box", (), {})()
    held.n = 1
    own = vars(held)
    image = ObjectImage({"root": held})
    held.__dict__ = {"n": 2}
    image.restore()
    assert held.n == 1
    assert vars(held) is own


def test_a_class_that_was_exchanged_comes_back() -> None:
    layer = torch.nn.Linear(2, 2)
    image = ObjectImage({"root": layer})
    torch.nn.utils.parametrizations.weight_norm(layer)
    assert type(layer) is not torch.nn.Linear
    image.restore()
    assert type(layer) is torch.nn.Linear
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]


class Shared(torch.nn.Module):
    outputs: ClassVar[list[int]] = []
    steps = 0
    memory = None


class Heir(Shared):
    """Inherits what the class keeps."""


def test_what_a_class_keeps_for_all_its_objects_is_put_back() -> None:
    module = Heir()
    image = ObjectImage({"root": module})
    module.outputs.append(1)
    Shared.steps += 1
    Shared.memory = torch.ones(1)  # type: ignore[assignment]
    image.restore()
    assert Shared.outputs == []
    assert (Shared.steps, Shared.memory) == (0, None)


def test_the_classes_of_libraries_are_left_alone() -> None:
    image = ObjectImage({"root": torch.nn.Linear(1, 1)})
    torch.nn.Linear.a_note = [1]  # type: ignore[attr-defined]
    try:
        ObjectImage({"root": torch.nn.Linear(1, 1)})
        torch.nn.Linear.a_note.append(2)  # type: ignore[attr-defined]
        image.restore()
        assert torch.nn.Linear.a_note == [1, 2]  # type: ignore[attr-defined]
    finally:
        del torch.nn.Linear.a_note  # type: ignore[attr-defined]


def test_a_variable_that_was_not_assigned_yet_is_unassigned_again() -> None:
    def make() -> tuple[Callable[[], int], Callable[[], None]]:
        def read() -> int:
            return later

        def write() -> None:
            nonlocal later
            later = 3

        if not make:
            later = 1
        return read, write

    read, write = make()
    image = ObjectImage({"root": [read, write]})
    write()
    assert read() == 3
    image.restore()
    with pytest.raises(NameError, match="later"):
        read()


@pytest.mark.parametrize("kind", generators())
def test_every_generator_draws_the_same_again(kind: str) -> None:
    generator, pull = generators()[kind]
    pull(generator)  # a state in the middle: half of a pair of normal numbers is kept back
    image = ObjectImage({"root": {"rng": generator}})
    first = [pull(generator) for _ in range(5)]
    image.restore()
    assert [pull(generator) for _ in range(5)] == first
    image.restore()
    assert [pull(generator) for _ in range(5)] == first


@pytest.mark.parametrize("layer", [torch.nn.LazyLinear(2), torch.nn.LazyBatchNorm1d()], ids=["linear", "batch norm"])
def test_a_layer_that_its_first_batch_shapes_is_shapeless_again(layer: torch.nn.Module) -> None:
    kind = type(layer)
    parameters = [id(parameter) for parameter in layer.parameters()]
    image = ObjectImage({"root": layer})
    layer(torch.ones(4, 3))
    assert type(layer) is not kind
    image.restore()
    assert type(layer) is kind
    assert [id(parameter) for parameter in layer.parameters()] == parameters
    assert layer(torch.ones(4, 5)).shape == (4, 2 if kind is torch.nn.LazyLinear else 5)
