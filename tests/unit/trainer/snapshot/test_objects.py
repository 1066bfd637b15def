"""Whatever happens to a web of objects, its image puts every content back, and every object stays itself.

The reference is slow and obvious: ``outline`` writes the whole web down by value, each object by its place in the walk
(so aliasing is compared too), and ``identities`` says which object stands at which place.
"""

from __future__ import annotations

import functools
import io
import itertools
import random
import threading
import weakref
from collections import OrderedDict, UserDict, defaultdict, deque
from collections.abc import Callable, Iterator
from types import FunctionType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset, RandomSampler, TensorDataset

from lightning_gammabo.trainer.snapshot.objects import DATA_ARRAY_LIMIT, DATA_LENGTH_LIMIT, ObjectImage
from tests.unit.trainer.snapshot.kinds import Child, Frozen, Slotted, closure

# ---- the reference


def outline(root: object) -> list[Any]:
    """The web by value: what each object holds, its parts by the place where they were met first."""
    return _walk(root)[0]


def identities(root: object) -> list[int]:
    """Which object stands at which place of the web."""
    return [id(obj) for obj in _walk(root)[1]]


def _walk(root: object) -> tuple[list[Any], list[object]]:
    places: dict[int, int] = {}
    lines: list[Any] = []
    objects: list[object] = []

    def place(obj: object) -> Any:
        if isinstance(obj, (int, float, str, bytes, type(None))):
            return repr(obj)
        if id(obj) in places:
            return ("at", places[id(obj)])
        places[id(obj)] = mine = len(lines)
        lines.append(None)
        objects.append(obj)
        lines[mine] = (type(obj).__name__, content(obj))
        return ("at", mine)

    def content(obj: Any) -> Any:
        if isinstance(obj, torch.Tensor):
            grad = obj.grad if obj.is_leaf else None
            dense = obj.detach().to_dense() if obj.is_sparse else obj.detach()
            return [dense.tolist(), obj.stride() if not obj.is_sparse else (), obj.requires_grad, place(grad)]
        if isinstance(obj, np.ndarray):
            return [place(entry) for entry in obj.flat] if obj.dtype == object else obj.tolist()
        if isinstance(obj, torch.Generator):
            return obj.get_state().tolist()
        if isinstance(obj, random.Random):
            return repr(obj.getstate())
        if isinstance(obj, np.random.Generator):
            return repr(obj.bit_generator.state)
        if isinstance(obj, dict):
            pairs = [(place(key), place(dict.__getitem__(obj, key))) for key in dict.__iter__(obj)]
            return [pairs, place(getattr(obj, "__dict__", None))]
        if isinstance(obj, (list, tuple, deque)):
            return [getattr(obj, "maxlen", None), [place(entry) for entry in obj]]
        if isinstance(obj, (set, frozenset)):
            return sorted(map(repr, obj))
        if isinstance(obj, bytearray):
            return bytes(obj)
        if isinstance(obj, FunctionType):
            return [place(cell.cell_contents) for cell in obj.__closure__ or ()]
        slots = [name for base in type(obj).__mro__ for name in base.__dict__.get("__slots__", ())]
        own = {name: getattr(obj, name) for name in slots if name in ("left", "right") and hasattr(obj, name)}
        return [place(getattr(obj, "__dict__", None)), [(name, place(value)) for name, value in own.items()]]

    place(root)
    return lines, objects


# ---- random webs, mutated at random

KINDS = (
    "list", "dict", "ordered", "default", "set", "deque", "tuple", "tensor", "parameter", "view", "array", "objects",
    "torch rng", "numpy rng", "python rng", "closure", "slots", "object", "bytes",
)  # fmt: skip


class Web:
    """Objects that hold one another, made and mutated by a stream of choices."""

    def __init__(self, choose: Callable[[int], int], size: int) -> None:
        self.choose = choose
        self.nodes: list[Any] = [[]]
        self.writers: dict[int, Callable[[object], None]] = {}
        for _ in range(size):
            self.nodes.append(self.make(KINDS[choose(len(KINDS))]))
        self.root = [*self.nodes]

    def any(self) -> Any:
        return self.nodes[self.choose(len(self.nodes))]

    def make(self, kind: str) -> Any:
        number = self.choose(100)
        if kind == "closure":
            read, write = closure(self.any())
            self.writers[id(read)] = write
            return read
        tensors = [node for node in self.nodes if isinstance(node, torch.Tensor) and node.ndim == 2]
        makers: dict[str, Callable[[], Any]] = {
            "list": lambda: [self.any(), number],
            "dict": lambda: {"a": self.any(), number: self.any()},
            "ordered": lambda: OrderedDict(b=self.any(), a=number),
            "default": lambda: defaultdict(list, {number: self.any()}),
            "set": lambda: {number, f"x{number}"},
            "deque": lambda: deque([self.any(), number], maxlen=3),
            "tuple": lambda: (self.any(), number),
            "tensor": lambda: torch.full((2, 3), float(number)),
            "parameter": lambda: torch.nn.Parameter(torch.full((2, 2), float(number))),
            "view": lambda: tensors[number % len(tensors)].detach()[0] if tensors else torch.zeros(1, 2),
            "array": lambda: np.full(3, number),
            "objects": lambda: np.array([self.any(), None], dtype=object),
            "torch rng": lambda: torch.Generator().manual_seed(number),
            "numpy rng": lambda: np.random.default_rng(number),
            "python rng": lambda: random.Random(number),
            "slots": lambda: Slotted(self.any()),
            "object": lambda: SimpleNamespace(a=self.any(), n=number),
            "bytes": lambda: bytearray(b"abc"),
        }
        return makers[kind]()

    def mutate(self) -> None:
        node, other, way = self.any(), self.any(), self.choose(3)
        if id(node) in self.writers:
            self.writers[id(node)](other)
        elif isinstance(node, torch.Tensor):
            mutate_tensor(node, way)
        elif isinstance(node, np.ndarray):
            node[way % len(node)] = other if node.dtype == object else -7
        elif isinstance(node, (torch.Generator, np.random.Generator, random.Random)):
            draw(node)
        elif isinstance(node, dict):
            [node.clear, lambda: node.update(new=other), lambda: node.pop("a", None)][way]()
        elif isinstance(node, (list, deque)):
            [node.clear, lambda: node.append(other), node.reverse][way]()
        elif isinstance(node, set):
            [node.clear, lambda: node.add(1000), lambda: node.pop() if node else None][way]()
        elif isinstance(node, bytearray):
            node.extend(b"xyz") if way else node.clear()
        elif isinstance(node, Slotted):
            setattr(node, "right" if way else "left", other)
        elif isinstance(node, SimpleNamespace):
            [lambda: vars(node).clear(), lambda: setattr(node, "b", other), lambda: setattr(node, "a", other)][way]()


def mutate_tensor(tensor: torch.Tensor, way: int) -> None:
    if way == 0:
        tensor.data = torch.full_like(tensor, -1.0)
    elif way == 1 and tensor.is_leaf:
        tensor.requires_grad_(not tensor.requires_grad)
        tensor.grad = torch.ones_like(tensor)
    else:
        with torch.no_grad():
            tensor.mul_(3.0).add_(1.0)


def draw(generator: Any) -> object:
    if isinstance(generator, torch.Generator):
        return torch.rand(3, generator=generator)
    return generator.normal() if isinstance(generator, np.random.Generator) else generator.gauss(0.0, 1.0)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.data())
def test_any_web_mutated_anyhow_is_put_back(data: st.DataObject) -> None:
    web = Web(lambda n: data.draw(st.integers(0, n - 1)), size=data.draw(st.integers(1, 14)))
    before, objects = outline(web.root), identities(web.root)
    image = ObjectImage({"root": web.root})
    for _ in range(2):  # an image may be used again and again
        for _ in range(data.draw(st.integers(0, 12))):
            web.mutate()
        image.restore()
        assert outline(web.root) == before
        assert identities(web.root) == objects


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.data())
def test_an_image_like_an_older_one_is_the_image_of_now(data: st.DataObject) -> None:
    web = Web(lambda n: data.draw(st.integers(0, n - 1)), size=data.draw(st.integers(1, 14)))
    first = ObjectImage({"root": web.root})
    begin = outline(web.root), identities(web.root)
    for _ in range(data.draw(st.integers(0, 6))):
        web.mutate()
    now, objects = outline(web.root), identities(web.root)
    second, fresh = ObjectImage({"root": web.root}, like=first), ObjectImage({"root": web.root})
    assert second.visited >= fresh.visited  # what was emptied since is visited too
    assert second.generators.keys() == fresh.generators.keys()
    for image, (content, same) in ((second, (now, objects)), (first, begin), (second, (now, objects))):
        for _ in range(data.draw(st.integers(0, 6))):
            web.mutate()
        image.restore()
        assert outline(web.root) == content
        assert identities(web.root) == same


def test_the_reference_sees_a_difference() -> None:
    rng = random.Random(0)
    web = Web(rng.randrange, size=40)
    before = outline(web.root)
    seen = 0
    for _ in range(40):
        image = ObjectImage({"root": web.root})
        web.mutate()
        seen += outline(web.root) != before
        image.restore()
        assert outline(web.root) == before
    assert seen > 20  # some mutations change nothing: a cleared list is cleared, a tuple is passed over


# ---- what an older image noted


class Counting:
    """A class that keeps a state for all its objects."""

    made: ClassVar[list[int]] = []

    def __init__(self) -> None:
        self.kept: list[int] = []


def exchange_defaults(root: Any) -> list[int]:
    root["function"].__kwdefaults__ = {"found": (new := [1])}
    return new


def exchange_attributes(root: Any) -> list[int]:
    root["object"].__dict__ = {"kept": (new := [1])}
    return new


def set_attribute(root: Any) -> list[int]:
    root["function"].seen = new = [1]
    return new


def set_class_state(root: Any) -> list[int]:
    Counting.made = new = [1]
    return new


def fill_what_was_empty(root: Any) -> list[int]:
    new = [1]
    root["empty"].append(new)
    return new


def tie_to_a_tensor(root: Any) -> list[int]:
    root["tensor"].label = new = [1]
    return new


@pytest.mark.parametrize(
    "change",
    [exchange_defaults, exchange_attributes, set_attribute, set_class_state, fill_what_was_empty, tie_to_a_tensor],
)
def test_what_is_new_since_an_older_image_is_noted(change: Callable[[Any], list[int]]) -> None:
    def function(*, found: list[int] | None = None) -> None: ...

    made = Counting.made
    root = {"function": function, "object": Counting(), "empty": [], "tensor": torch.ones(1)}
    older = ObjectImage({"root": root})
    new = change(root)
    image = ObjectImage({"root": root}, like=older)
    new.append(2)
    image.restore()
    assert new == [1]
    older.restore()
    assert Counting.made is made


def test_what_cannot_be_put_back_is_told_again() -> None:
    class Once:
        def __next__(self) -> int:
            return 0

    root = {"stream": iter([1]), "once": Once(), "lines": (n for n in range(3))}
    older = ObjectImage({"root": root})
    assert older.unheld == ObjectImage({"root": root}, like=older).unheld != {}


def test_data_by_one_way_is_state_by_another() -> None:
    array = np.zeros(DATA_ARRAY_LIMIT)
    holder = SimpleNamespace(array=array)
    older = ObjectImage({"data": holder}, data=["data"])
    image = ObjectImage({"state": holder}, like=older)
    array += 1.0
    older.restore()
    assert array.all()  # too large for a data set's state
    image.restore()
    assert not array.any()


# ---- containers


def test_one_object_in_two_places_stays_one() -> None:
    shared = [1]
    root = {"a": shared, "b": (shared, {"c": shared})}
    image = ObjectImage({"root": root})
    shared.append(2)
    root["a"] = [9]
    root.pop("b")
    image.restore()
    assert root == {"a": [1], "b": ([1], {"c": [1]})}
    assert root["a"] is shared
    assert root["b"][0] is root["b"][1]["c"] is shared  # type: ignore[index]


def test_a_web_that_holds_itself_comes_to_an_end() -> None:
    ring: list[Any] = [1]
    ring.append(ring)
    image = ObjectImage({"root": ring})
    ring.clear()
    image.restore()
    assert ring[0] == 1
    assert ring[1] is ring


def test_keys_are_visited_too() -> None:
    key = type("Key", (), {})()
    key.n = [1]
    image = ObjectImage({"root": {key: 0}})
    key.n.append(2)
    image.restore()
    assert key.n == [1]


def test_attributes_of_a_user_dict_are_put_back() -> None:
    words = UserDict(a=[1])
    image = ObjectImage({"root": words})
    words["a"].append(2)
    words["b"] = 3
    image.restore()
    assert words == {"a": [1]}


def test_lists_below_a_tuple_are_put_back() -> None:
    pair = ([1], frozenset({(2, 3)}), ([4],))
    image = ObjectImage({"root": pair})
    pair[0].clear()
    pair[2][0].append(5)
    image.restore()
    assert pair == ([1], frozenset({(2, 3)}), ([4],))


# ---- objects


def test_a_frozen_dataclass_is_entered() -> None:
    record = Frozen([1])
    mine = record.values
    image = ObjectImage({"root": record})
    record.values.append(2)
    object.__setattr__(record, "values", [])
    image.restore()
    assert record.values is mine
    assert mine == [1]


def test_closures_defaults_and_attributes_of_functions_are_put_back() -> None:
    read, write = closure([1])

    def step(history: list[int] = [], *, seen: dict[str, int] = {}) -> object:  # noqa: B006
        return history, seen, read

    step.calls = 0  # type: ignore[attr-defined]
    wrapped = functools.partial(step, [7])
    image = ObjectImage({"root": {"hook": wrapped}})
    read().append(2)  # type: ignore[attr-defined]
    write("other")
    step.__defaults__[0].append(1)  # type: ignore[index]
    step.__kwdefaults__["seen"]["a"] = 1
    wrapped.args[0].append(8)
    step.calls = 5  # type: ignore[attr-defined]
    image.restore()
    assert step() == ([], {}, read)
    assert read() == [1]
    assert wrapped.args == ([7],)
    assert step.calls == 0  # type: ignore[attr-defined]


def test_the_object_of_a_method_is_entered() -> None:
    held = Child([1])
    image = ObjectImage({"root": {"hook": held.write}})
    held.left.append(2)  # type: ignore[attr-defined]
    image.restore()
    assert held.left == [1]


def test_proxies_references_and_threads_are_left_alone() -> None:
    box = type("Box", (), {})()
    box.n = 1
    root = {"proxy": weakref.proxy(box), "reference": weakref.ref(box), "lock": threading.Lock(), "out": io.StringIO()}
    image = ObjectImage({"root": root})
    box.n = 2
    image.restore()
    assert box.n == 2
    assert id(box) not in image.visited


def test_a_dead_proxy_does_no_harm() -> None:
    box = type("Box", (), {})()
    root = {"proxy": weakref.proxy(box)}
    del box
    image = ObjectImage({"root": root})
    root.clear()
    image.restore()
    assert list(root) == ["proxy"]


def test_types_to_stop_at_and_objects_to_skip() -> None:
    stopped, skipped, entered = Slotted([1]), [1], [1]
    root = [stopped, skipped, entered]
    image = ObjectImage({"root": root}, stop=lambda kind: issubclass(kind, Slotted), skip={id(skipped)})
    stopped.left.append(2)  # type: ignore[attr-defined]
    skipped.append(2)
    entered.append(2)
    image.restore()
    assert (stopped.left, skipped, entered) == ([1, 2], [1, 2], [1])


# ---- generators and iterators


def test_generators_are_listed_by_path() -> None:
    rng, source = np.random.default_rng(0), random.Random(0)
    image = ObjectImage({"train0": {"rng": rng, "more": [1, (source,)]}})
    assert image.generators == {"train0.rng": rng.bit_generator, "train0.more.1.0": source}


def test_the_source_of_entropy_has_no_state() -> None:
    image = ObjectImage({"root": [random.SystemRandom()]})
    image.restore()
    assert image.generators == {}


def test_functions_of_the_global_generator_are_atoms_or_methods() -> None:
    image = ObjectImage({"root": [random.gauss]})
    first = random.gauss(0.0, 1.0)
    image.restore()
    assert random.gauss(0.0, 1.0) == first


class Reader:
    """An iterator whose place is an attribute."""

    def __init__(self) -> None:
        self.at = 0

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        self.at += 1
        return self.at


@pytest.mark.parametrize(
    "make",
    [
        lambda: (n for n in range(9)),
        lambda: iter([1, 2, 3]),
        lambda: itertools.cycle("ab"),
        lambda: map(str, [1, 2]),
        lambda: iter(DataLoader(TensorDataset(torch.zeros(4, 1)))),
    ],
)
def test_a_live_iterator_is_named(make: Callable[[], object]) -> None:
    assert ObjectImage({"module": {"stream": make()}, "other": [Reader()]}).unheld == {
        "module.stream": "a live iterator"
    }


def test_an_iterator_that_shows_its_place_is_put_back() -> None:
    reader = Reader()
    next(reader)
    image = ObjectImage({"root": reader})
    assert [next(reader), next(reader)] == [2, 3]
    image.restore()
    assert next(reader) == 2


# ---- arrays


def test_arrays_are_put_back_in_place() -> None:
    values = np.arange(6.0).reshape(2, 3)
    transposed = values.T
    image = ObjectImage({"root": {"a": values, "b": transposed}})
    values[:] = -1.0
    image.restore()
    assert values.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    assert transposed.base is not None
    assert np.shares_memory(transposed, values)


def test_arrays_of_objects_are_entered() -> None:
    inner = [1]
    values = np.array([inner, "x", None], dtype=object)
    image = ObjectImage({"root": values})
    inner.append(2)
    values[0] = values[2] = "other"
    image.restore()
    assert values[0] is inner
    assert values.tolist() == [[1], "x", None]


def test_a_read_only_array_is_left_alone_and_its_objects_are_not() -> None:
    inner = [1]
    values, numbers = np.array([inner, None], dtype=object), np.zeros(2)
    values.flags.writeable = numbers.flags.writeable = False
    image = ObjectImage({"root": [values, numbers]})
    inner.append(2)
    image.restore()
    assert inner == [1]
    assert numbers.tolist() == [0.0, 0.0]


def test_a_masked_array_gets_its_mask_back() -> None:
    values = np.ma.array([1.0, 2.0, 3.0], mask=[False, True, False])
    image = ObjectImage({"root": values})
    values[0] = np.ma.masked
    values[1] = values[2] = 7.0
    image.restore()
    assert values.mask.tolist() == [False, True, False]
    assert values.data.tolist() == [1.0, 2.0, 3.0]


# ---- data sets: their state, not their data


class Augmented(Dataset[torch.Tensor]):
    def __init__(self, size: int) -> None:
        self.pictures = torch.zeros(size // 4)  # float32: ``size`` bytes
        self.labels = np.zeros(size // 8)
        self.rng = np.random.default_rng(0)
        self.drawn: list[float] = []


@pytest.mark.parametrize(("size", "held"), [(DATA_ARRAY_LIMIT, True), (DATA_ARRAY_LIMIT + 8, False)])
def test_large_arrays_of_data_are_not_copied(size: int, held: bool) -> None:
    data = Augmented(size)
    image = ObjectImage({"module": SimpleNamespace(val=[data])})
    data.pictures.fill_(1.0)
    data.labels.fill(1.0)
    data.drawn.append(data.rng.normal())
    image.restore()
    assert bool(data.pictures.any()) is not held
    assert bool(data.labels.any()) is not held
    assert data.drawn == []
    assert data.rng.normal() == np.random.default_rng(0).normal()


def test_roots_named_as_data_are_data() -> None:
    size = DATA_ARRAY_LIMIT // 4 + 1
    mine, theirs = torch.zeros(size), torch.zeros(size)
    image = ObjectImage({"module": [mine], "train0": [theirs]}, data=["train0"])
    mine.fill_(1.0)
    theirs.fill_(1.0)
    image.restore()
    assert not mine.any()
    assert theirs.all()


def test_a_large_array_of_the_module_is_state() -> None:
    bank = torch.zeros(DATA_ARRAY_LIMIT)
    image = ObjectImage({"module": {"bank": bank}})
    bank.fill_(1.0)
    image.restore()
    assert not bank.any()


def test_entries_of_a_long_list_of_data_are_not_visited() -> None:
    inner = [[0] for _ in range(DATA_LENGTH_LIMIT + 1)]
    short = inner[:DATA_LENGTH_LIMIT]
    image = ObjectImage({"train0": {"long": inner}}, data=["train0"])
    inner[0].append(1)
    inner.pop()
    image.restore()
    assert len(inner) == DATA_LENGTH_LIMIT + 1
    assert inner[0] == [0, 1]
    image = ObjectImage({"train0": {"short": short}}, data=["train0"])
    short[0].clear()
    image.restore()
    assert short[0] == [0, 1]


def test_the_position_of_a_loader_is_put_back() -> None:
    source = torch.Generator().manual_seed(5)
    data = TensorDataset(torch.arange(8))
    loader = DataLoader(data, sampler=RandomSampler(data, generator=source), batch_size=4, generator=source)
    image = ObjectImage({"train0": loader}, data=["train0"])
    first = [batch.tolist() for (batch,) in loader]
    image.restore()
    assert [batch.tolist() for (batch,) in loader] == first
    assert [batch.tolist() for (batch,) in loader] != first


# ---- tensors within objects


def test_attributes_of_a_tensor_are_put_back() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    weight.steps, weight.seen = 0, [1]  # type: ignore[attr-defined]
    image = ObjectImage({"root": [weight]})
    weight.steps, weight.late = 3, 1  # type: ignore[attr-defined]
    weight.seen.append(2)  # type: ignore[attr-defined]
    image.restore()
    assert (weight.steps, weight.seen) == (0, [1])  # type: ignore[attr-defined]
    assert not hasattr(weight, "late")


def test_gradients_keep_their_identity_and_value() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    (weight * 3.0).sum().backward()
    grad = weight.grad
    image = ObjectImage({"root": weight})
    (weight * 5.0).sum().backward()
    weight.grad = None
    image.restore()
    assert weight.grad is grad
    assert weight.grad.tolist() == [3.0, 3.0]  # type: ignore[union-attr]


def test_gradients_can_be_left_out() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    image = ObjectImage({"root": weight}, grads=False)
    image.restore()
    assert weight.grad is None


def test_a_gradient_that_was_none_is_none_again() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    image = ObjectImage({"root": weight})
    weight.sum().backward()
    image.restore()
    assert weight.grad is None


def test_deferred_tensors_are_copied_later_and_only_if_untouched() -> None:
    weight, counter = torch.ones(2), torch.zeros(1)
    root = {"weight": weight, "counter": counter}
    image = ObjectImage({"root": root}, deferred={id(weight)})
    counter.add_(1.0)  # not deferred: may change before
    assert image.hold_deferred()
    weight.mul_(5.0)
    image.restore()
    assert (weight.tolist(), counter.tolist()) == ([1.0, 1.0], [0.0])
    late = ObjectImage({"root": root}, deferred={id(weight)})
    weight.add_(1.0)
    assert not late.hold_deferred()


def test_copies_of_an_older_image_are_written_over() -> None:
    weight = torch.ones(1000)
    older = ObjectImage({"root": [weight]})
    weight.fill_(2.0)
    newer = ObjectImage({"root": [weight]}, deferred={id(weight)})
    assert newer.hold_deferred(reuse=older)
    weight.fill_(3.0)
    newer.restore()
    assert weight.tolist() == [2.0] * 1000
    with pytest.raises(AssertionError, match=r"hold\(\) comes before restore\(\)"):
        older.restore()


# ---- optimizers


def _closure_of(module: torch.nn.Module, optimizer: torch.optim.Optimizer, inputs: torch.Tensor) -> Callable[[], float]:
    def closure() -> float:
        optimizer.zero_grad()
        loss = module(inputs).square().sum()
        loss.backward()
        return float(loss.detach())

    return closure


OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.1, amsgrad=True),
    "adam, capturable rate": lambda p: torch.optim.Adam(p, lr=torch.tensor(0.1), foreach=False),
    "lbfgs": lambda p: torch.optim.LBFGS(p, lr=0.1, max_iter=3, line_search_fn="strong_wolfe"),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.1, centered=True),
}


@pytest.mark.parametrize("warm", [0, 2])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_an_optimizer_takes_the_same_steps_again(kind: str, warm: int) -> None:
    torch.manual_seed(0)
    module = torch.nn.Linear(3, 2)
    optimizer = OPTIMIZERS[kind](module.parameters())
    step = functools.partial(optimizer.step, _closure_of(module, optimizer, torch.randn(4, 3)))
    for _ in range(warm):
        step()
    rate = float(optimizer.param_groups[0]["lr"])
    image = ObjectImage({"module": module, "optimizers": [optimizer]})
    runs = []
    for _ in range(2):
        for _ in range(3):
            step()
        optimizer.param_groups[0]["lr"] *= 0.5
        step()
        runs.append([parameter.tolist() for parameter in module.parameters()])
        optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))]}) if kind != "lbfgs" else None
        image.restore()
        assert (len(optimizer.state) > 0) is (warm > 0)
        assert len(optimizer.param_groups) == 1
        assert float(optimizer.param_groups[0]["lr"]) == rate
    assert runs[0] == runs[1]


def test_loading_a_state_into_an_optimizer_is_undone() -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.Adam([parameter], lr=0.1)
    parameter.grad = torch.ones(2)
    optimizer.step()
    group, moments = optimizer.param_groups[0], optimizer.state[parameter]
    image = ObjectImage({"root": optimizer})
    optimizer.load_state_dict(torch.optim.Adam([torch.nn.Parameter(torch.ones(2))], lr=0.7).state_dict())
    image.restore()
    assert optimizer.param_groups[0] is group
    assert optimizer.state[parameter] is moments
    assert group["lr"] == 0.1
    assert group["params"][0] is parameter
