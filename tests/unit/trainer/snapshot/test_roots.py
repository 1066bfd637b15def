"""Where the walk over objects stops, and the image of all data."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from lightning_gammabo.trainer.snapshot.objects import DATA_ARRAY_LIMIT
from lightning_gammabo.trainer.snapshot.roots import data_image, is_lightning, named
from tests.integration.identity.scenarios import Augmented, OwnGenerators


@pytest.mark.parametrize("namespace", ["lightning.pytorch", "pytorch_lightning"])
def test_machinery_is_left_alone_and_what_is_the_users_is_entered(namespace: str) -> None:
    lightning = pytest.importorskip(namespace)
    loggers = importlib.import_module(f"{namespace}.loggers")

    class Observes(lightning.Callback):  # type: ignore[misc, name-defined]
        pass

    class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]
        pass

    class Data(lightning.LightningDataModule):  # type: ignore[misc, name-defined]
        pass

    assert [is_lightning(kind) for kind in (lightning.Trainer, Observes, loggers.CSVLogger)] == [True] * 3
    assert [is_lightning(kind) for kind in (Module, Data)] == [False] * 2


@pytest.mark.parametrize("kind", [DataLoader, torch.nn.Linear, Augmented, dict])
def test_what_is_not_lightnings_is_entered(kind: type) -> None:
    assert not is_lightning(kind)


def test_objects_are_numbered_by_name() -> None:
    assert named("loader", ["a", "b"]) == {"loader0": "a", "loader1": "b"}
    assert named("loader", []) == {}


def test_the_position_of_all_loaders_comes_back() -> None:
    loaders: list[Any] = [DataLoader(OwnGenerators(), 8), DataLoader(OwnGenerators(), 20)]
    image = data_image(loaders)
    first = [[batch[0] for batch in loader] for loader in loaders]
    assert not torch.equal(first[0][0], next(iter(loaders[0]))[0])
    image.restore()
    again = [[batch[0] for batch in loader] for loader in loaders]
    assert all(
        torch.equal(one, other) for a, b in zip(first, again, strict=True) for one, other in zip(a, b, strict=True)
    )


def test_large_arrays_of_the_data_are_not_copied() -> None:
    large, small = torch.zeros((DATA_ARRAY_LIMIT >> 2) + 1), torch.zeros(2)
    image = data_image([DataLoader([(large, small)], None)])
    large += 1
    small += 1
    image.restore()
    assert (float(large[0]), float(small[0])) == (1.0, 0.0)
