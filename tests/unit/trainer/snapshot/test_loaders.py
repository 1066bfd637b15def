"""The data of a run: what loaders are in use, how much they give, whether they give it again."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch.utilities import CombinedLoader
from torch.utils.data import DataLoader, IterableDataset

from lightning_gammabo.trainer.snapshot.loaders import (
    LoaderMark,
    loader_generators,
    samples_of,
    train_loaders,
    unreplayable,
    val_loaders,
)


def loader_of(samples: int | None, batch_size: int | None = 4) -> Any:
    dataset = range(samples) if samples is not None else iter(())
    return SimpleNamespace(dataset=dataset, batch_size=batch_size)


def trainer_of(trained: Any, validated: Any = None) -> Any:
    epoch_loop = SimpleNamespace(val_loop=SimpleNamespace(_combined_loader=validated))
    return SimpleNamespace(fit_loop=SimpleNamespace(_combined_loader=trained, epoch_loop=epoch_loop))


def test_loaders_in_use_are_those_that_were_requested() -> None:
    trained, validated = SimpleNamespace(flattened=["a", "b"]), SimpleNamespace(flattened=("c",))
    assert train_loaders(trainer_of(trained, validated)) == ["a", "b"]
    assert val_loaders(trainer_of(trained, validated)) == ["c"]
    assert train_loaders(trainer_of(None, validated)) == val_loaders(trainer_of(trained)) == []


# ---- how much they give


@pytest.mark.parametrize(
    ("loaders", "limit", "samples"),
    [
        ([], None, 0),
        ([loader_of(10)], None, 10),
        ([loader_of(10)], 1.0, 10),
        ([loader_of(10), loader_of(7)], None, 17),
        ([loader_of(10)], 2, 8),
        ([loader_of(10)], 0, 0),
        ([loader_of(10)], 9, 10),
        ([loader_of(10), loader_of(7)], 2, 15),
        ([loader_of(10)], 0.5, 5),
        ([loader_of(10)], 0.25, 2),
        ([loader_of(10, None)], 3, 3),  # not batched
        ([loader_of(None)], None, 0),  # does not tell
        ([[(1, 2), (3, 4)]], None, 0),
        ([loader_of(None), loader_of(7)], 0.5, 3),
    ],
)
def test_samples_are_counted_as_far_as_loaders_tell(loaders: list[Any], limit: float | None, samples: int) -> None:
    found = samples_of(loaders, limit)
    assert found == samples
    assert type(found) is int


# ---- whether they give the same again


class Stream(IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        return iter(range(8))


class Positioned:
    def __iter__(self) -> Iterator[int]:
        return iter(range(8))

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class Saves:
    """Saves, but cannot load: no position of its own that anyone could set."""

    def __iter__(self) -> Iterator[int]:
        return iter(range(8))

    def state_dict(self) -> dict[str, Any]:
        return {}


class Once:
    def __iter__(self) -> Once:
        return self

    def __next__(self) -> int:
        raise StopIteration


class Holds:
    def __init__(self) -> None:
        self.rest = (number for number in range(8))

    def __iter__(self) -> Iterator[int]:
        return self.rest


@pytest.mark.parametrize(
    ("loader", "why"),
    [
        (DataLoader(range(8)), None),
        (DataLoader(Stream()), None),
        ([1, 2, 3], None),
        (Saves(), None),
        (DataLoader(range(8), num_workers=1), None),
        (
            DataLoader(range(8), num_workers=1, persistent_workers=True),
            "DataLoader(persistent_workers=True): its workers go on with the random numbers of the epoch before",
        ),
        (SimpleNamespace(persistent_workers=True, num_workers=0), None),
        (SimpleNamespace(persistent_workers=True), None),
        (SimpleNamespace(num_workers=2), None),
        (Positioned(), "Positioned keeps a position of its own"),
        (Once(), "Once is an iterator: it goes on where it stopped"),
        (Holds(), "Holds holds a live iterator (loader0.rest)"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_batches_can_be_had_again_or_not(loader: Any, why: str | None) -> None:
    assert unreplayable([loader]) == why
    assert unreplayable([[1, 2], loader]) == why  # it is not the first one alone that is asked


def test_a_data_loaders_own_iterator_is_made_anew() -> None:
    loader = DataLoader(range(8))
    loader._iterator = iter(loader)
    assert unreplayable([loader]) is None


# ---- where they stand


def test_generators_are_found_by_the_same_path_in_any_process() -> None:
    one, two = (DataLoader(range(8), shuffle=True, generator=torch.Generator()) for _ in range(2))
    found = loader_generators(trainer_of(SimpleNamespace(flattened=[one, two])))
    assert {id(one.generator), id(two.generator)} <= {id(generator) for generator in found.values()}
    assert all(path.startswith(("loader0", "loader1")) for path in found)


@pytest.mark.parametrize("combined", [True, False])
def test_a_mark_puts_position_and_random_numbers_back(combined: bool) -> None:
    loader = DataLoader(range(32), shuffle=True, generator=torch.Generator().manual_seed(1))
    mark = LoaderMark(trainer_of(None), CombinedLoader([loader]) if combined else loader)
    assert mark.fetched == 0
    first, drawn = list(loader), torch.rand(3)
    assert not all(torch.equal(a, b) for a, b in zip(list(loader), first, strict=True))
    mark.restore()
    assert all(torch.equal(a, b) for a, b in zip(list(loader), first, strict=True))
    assert torch.equal(torch.rand(3), drawn)
