"""A stream that cannot be asked twice, asked many times: same batches, same random numbers, one pass over it."""

from __future__ import annotations

import random
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from lightning_gammabo.trainer.batch_cache import EPOCH_LIMIT, BatchCache, BatchCaches
from lightning_gammabo.trainer.snapshot.rng import RngState


class Loader:
    """Like Lightning's combined loader: tells the states of stateful loaders, here how many batches were read."""

    def __init__(self, fetcher: Fetcher) -> None:
        self.fetcher = fetcher

    def _state_dicts(self) -> list[dict[str, int]]:
        return [{"at": self.fetcher.fetched}]


class Fetcher:
    """Like Lightning's: knows how many were given out, and which was the last. Each batch takes random numbers."""

    def __init__(self, batches: list[Any], *, sized: bool = True) -> None:
        self.batches = batches
        self.sized = sized
        self.fetched = 0
        self.done = False
        self.length = len(batches)
        self.iterations = 0
        self.given = 0
        self.combined_loader = Loader(self)

    def __iter__(self) -> Fetcher:
        self.iterations += 1
        self.fetched = 0
        self.done = False
        torch.rand(())  # a DataLoader draws its workers' seed here
        return self

    def __next__(self) -> Any:
        if self.fetched == len(self.batches):
            self.done = True
            raise StopIteration
        torch.rand(())
        batch = self.batches[self.fetched]
        self.fetched += 1
        self.given += 1
        self.done = self.sized and self.fetched == len(self.batches)
        return batch


def tensors(n: int = 4) -> list[torch.Tensor]:
    return [torch.full((2,), float(k)) for k in range(n)]


def cache(fetcher: Fetcher, *, started: bool = False, limit: int = EPOCH_LIMIT) -> BatchCache:
    return BatchCache(fetcher, "a stream goes on where it stopped", started=started, limit=limit)


def epoch(source: Any, upto: int | None = None) -> list[Any]:
    """What an epoch sees: each batch, whether it is the last, how many came, and a random number of its step."""
    seen = []
    for batch in source:
        step = (random.random(), float(np.random.rand()), float(torch.rand(())))
        seen.append((batch.tolist(), source.done, source.fetched, step))
        if len(seen) == upto:
            break
    return seen


@pytest.mark.parametrize("sized", [True, False])
def test_the_first_epoch_is_the_plain_one_and_all_others_are_like_it(sized: bool) -> None:
    with RngState.kept():
        plain = epoch(Fetcher(tensors(), sized=sized))
        after = torch.rand(())
    fetcher = Fetcher(tensors(), sized=sized)
    kept = cache(fetcher)
    assert epoch(kept) == plain
    assert torch.equal(torch.rand(()), after)
    for _ in range(2):
        kept.rewind()
        assert (kept.fetched, kept.done) == (0, False)
        torch.rand(7)  # wherever the generators stand
        assert epoch(kept) == plain
        assert torch.equal(torch.rand(()), after) or not sized  # a stream without length draws once more at its end
    assert fetcher.iterations == 1
    assert fetcher.given == 4


def test_an_epoch_that_was_cut_short_is_taken_up_again() -> None:
    with RngState.kept():
        plain = epoch(Fetcher(tensors()))
    fetcher = Fetcher(tensors())
    kept = cache(fetcher)
    assert epoch(kept, upto=2) == plain[:2]
    assert fetcher.given == 2
    assert epoch(kept) == plain
    assert epoch(kept, upto=1) == plain[:1]
    assert epoch(kept) == plain
    assert fetcher.given == 4


def test_an_iterator_that_lightning_made_before_is_not_made_again() -> None:
    with RngState.kept():
        plain = epoch(Fetcher(tensors()))
    fetcher = Fetcher(tensors())
    iter(fetcher)
    kept = cache(fetcher, started=True)
    assert [epoch(kept), epoch(kept)] == [plain, plain]
    assert fetcher.iterations == 1


def test_a_step_that_writes_into_its_batch_writes_into_its_own() -> None:
    source = tensors(2)
    kept = cache(Fetcher(source))
    for _ in range(2):
        for number, batch in enumerate(kept):
            assert batch.tolist() == [number, number]
            batch.fill_(-1.0)
    source[0].fill_(9.0)  # nor does the stream's own memory matter any more
    assert next(iter(kept)).tolist() == [0.0, 0.0]


def test_parts_of_a_batch_that_are_one_object_stay_one() -> None:
    shared = torch.ones(1)
    kept = cache(Fetcher([{"a": shared, "b": [shared]}]))
    for _ in range(2):
        batch = next(iter(kept))
        assert batch["a"] is batch["b"][0]
        assert batch["a"] is not shared


def test_other_attributes_are_the_fetchers() -> None:
    fetcher = Fetcher(tensors())
    kept = cache(fetcher)
    kept.length = 7
    kept.note = "x"
    assert (fetcher.length, fetcher.note, kept.length) == (7, "x", 7)  # type: ignore[attr-defined]
    kept.fetched += 2  # Lightning counts on after a resume; that is the cache's own
    kept.done = True
    assert (fetcher.fetched, fetcher.done) == (0, False)
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        _ = kept.nothing_of_the_kind


def test_an_empty_stream_ends_at_once() -> None:
    kept = cache(Fetcher([]))
    assert [epoch(kept), epoch(kept)] == [[], []]


# ---- the limit


def test_batches_that_may_come_anew_are_read_again_with_one_warning() -> None:
    """A value that worker processes share: it may be harmless."""
    batches = [torch.ones(1 << 18) for _ in range(4)]  # 1 MiB each
    kept = BatchCache(Fetcher(batches), None, started=False, limit=2 << 20, regrets="its workers share a value")
    with pytest.warns(UserWarning, match=r"may train on other batches \(its workers share a value\), .* 2 MiB") as said:
        assert len(list(kept)) == 4
    assert len(said) == 1
    assert not kept.complete


Pair = namedtuple("Pair", "inputs labels")


@dataclass
class Own:
    pictures: torch.Tensor
    note: str = "x"


def _slotted(tensor: torch.Tensor) -> object:
    class Slotted:
        __slots__ = ("tensor",)

    batch = Slotted()
    batch.tensor = tensor
    return batch


def _round(tensor: torch.Tensor) -> Own:
    # batches of graphs hold their storage, and that the batch
    batch = Own(tensor)
    batch.storage = Own([batch, type(batch)])  # type: ignore[attr-defined]
    return batch


FORMS = {
    "tensor": lambda t: t,
    "array": lambda t: t.numpy(),
    "list": lambda t: [t, 3, "x"],
    "tuple": lambda t: (t,),
    "named tuple": lambda t: Pair(t, None),
    "dictionary": lambda t: {"a": {"b": t}, "n": 1},
    "own class": lambda t: Own(t),
    "slots": _slotted,
    "holds itself": _round,
    "bytes": lambda t: [t.numpy().tobytes()],
    "sparse": lambda t: t.to_sparse(),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_batch_counts(form: str) -> None:
    big = FORMS[form](torch.ones(1 << 18))  # 1 MiB
    with pytest.raises(RuntimeError, match="one epoch is larger than 2 MiB"):
        list(cache(Fetcher([big] * 3), limit=(2 << 20) + 200))


def test_what_fits_is_kept() -> None:
    big = torch.ones(1 << 18)
    kept = cache(Fetcher([big] * 2), limit=2 << 20)
    assert len(list(kept)) == len(list(kept)) == 2


def test_the_error_names_reason_and_remedies() -> None:
    message = (
        r"the training batches cannot be asked for again \(a stream goes on where it stopped\), so they are kept, and "
        r"one epoch is larger than 1 MiB\. Make the loader repeatable .*limit_train_batches.*'identity'"
    )
    with pytest.raises(RuntimeError, match=message):
        list(cache(Fetcher([torch.ones(1 << 19)]), limit=1 << 20))


def test_a_stream_that_writes_over_its_own_memory_is_kept_batch_by_batch() -> None:
    def stream() -> Iterator[torch.Tensor]:
        memory = torch.zeros(2)
        for number in range(3):  # one buffer, written over for each batch
            memory.fill_(number)
            yield memory

    fetcher = Fetcher([])
    source = stream()
    fetcher.batches = [None] * 3
    fetcher.__class__ = type("Live", (Fetcher,), {"__next__": lambda self: next(source)})
    kept = cache(fetcher)
    assert [batch.tolist() for batch in kept] == [[0.0] * 2, [1.0] * 2, [2.0] * 2]
    assert [batch.tolist() for batch in kept] == [[0.0] * 2, [1.0] * 2, [2.0] * 2]


def test_a_stream_without_a_reason_goes_on_unkept_over_the_limit() -> None:
    fetcher = Fetcher(tensors(4))
    taped = BatchCache(fetcher, None, started=False, limit=20)  # two batches of eight bytes
    first = [float(batch[0]) for batch in taped]
    again = [float(batch[0]) for batch in taped]
    assert first == again == [0.0, 1.0, 2.0, 3.0]
    assert fetcher.iterations == 2
    assert fetcher.given == 8


def test_each_validation_of_an_epoch_has_a_cache_of_its_own() -> None:
    caches = BatchCaches()
    streams = [Fetcher(tensors(2)), Fetcher([torch.full((1,), 9.0)])]
    for _ in range(3):  # the epoch's beginnings
        caches.rewind()
        seen = [[float(batch[0]) for batch in caches.cache_for(stream)] for stream in streams]
        assert seen == [[0.0, 1.0], [9.0]]
    assert [stream.iterations for stream in streams] == [1, 1]


def test_a_checkpoint_in_mid_epoch_has_the_loader_s_state_of_that_batch() -> None:
    fetcher = Fetcher(tensors(4))
    kept = cache(fetcher)
    assert len(epoch(kept)) == 4  # a candidate read them all
    told = []
    with kept.loaders_of_the_step():
        told.append(fetcher.combined_loader._state_dicts())
        for _ in iter(kept):
            told.append(fetcher.combined_loader._state_dicts())
    assert [states[0]["at"] for states in told] == [4, 1, 2, 3, 4]
    assert fetcher.combined_loader._state_dicts() == [{"at": 4}]
