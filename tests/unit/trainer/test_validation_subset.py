"""What candidates are scored on: the same samples for all, drawn once, and the user's loader left as it is."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import CombinedLoader
from torch.utils.data import DataLoader, IterableDataset, RandomSampler, TensorDataset, WeightedRandomSampler
from torch.utils.data.distributed import DistributedSampler

from lightning_gammabo import GammaLRSearch
from lightning_gammabo.scheduler.run_plan import FORWARD
from lightning_gammabo.trainer.validation_subset import ScoringSet, running_sums, scoring_loader
from tests.helpers import trainers
from tests.helpers.searching import SHORT, gamma_search
from tests.integration.identity.scenarios import TRAIN, Net

pytestmark = pytest.mark.filterwarnings("ignore")

NUMBERED = TensorDataset(torch.arange(200.0)[:, None].repeat(1, 6), torch.arange(200) % 3)


def length_of(loader: Any) -> float:
    try:
        return len(loader)
    except TypeError:
        return math.inf


class Loop:
    """As much of an evaluation loop as a scoring needs."""

    def __init__(self, loaders: Any, limits: list[float] | None = None) -> None:
        self.made = 0
        self.users = loaders
        self._limits = limits
        self._combined_loader: Any = None
        self._max_batches: list[float] = []
        self._seen_batches_per_dataloader: Any = None

    def setup_data(self) -> None:
        self.made += 1
        if self._combined_loader is None:
            self._combined_loader = CombinedLoader(self.users, "sequential")
            loaders = self._combined_loader.flattened
            self._max_batches = self._limits or [length_of(loader) for loader in loaders]


def trainer_of(loop: Loop, rank: int = 0, ranks: int = 1) -> Any:
    fit_loop = SimpleNamespace(epoch_loop=SimpleNamespace(val_loop=loop))
    return SimpleNamespace(fit_loop=fit_loop, strategy=SimpleNamespace(), global_rank=rank, world_size=ranks)


def ids(loader: Any) -> list[list[int]]:
    return [[int(x) for x in batch[0][:, 0]] for batch in loader]


def read(scoring: ScoringSet, loop: Loop, rank: int = 0, ranks: int = 1) -> list[list[list[int]]]:
    """The samples of each batch of each loader within a scoring."""
    with scoring.read_by(trainer_of(loop, rank, ranks)):
        assert [length_of(loader) for loader in loop._combined_loader.flattened] == loop._max_batches
        return [ids(loader) for loader in loop._combined_loader.flattened]


def flat(batches: list[list[int]]) -> list[int]:
    return [sample for batch in batches for sample in batch]


def test_the_same_samples_each_time_drawn_by_the_seed() -> None:
    torch.manual_seed(1)
    scoring, loop = ScoringSet(40, seed=3), Loop(DataLoader(NUMBERED, 50))
    first = read(scoring, loop)
    torch.rand(5)
    assert read(scoring, loop) == first
    assert read(ScoringSet(40, seed=3), Loop(DataLoader(NUMBERED, 50))) == first
    assert read(ScoringSet(40, seed=4), Loop(DataLoader(NUMBERED, 50))) != first
    chosen = flat(first[0])
    assert len(set(chosen)) == 40
    assert chosen == sorted(chosen)  # no order of its own: the loader reads on


def test_no_global_generator_is_touched() -> None:
    state = torch.random.get_rng_state()
    scoring, loop = ScoringSet(40, seed=3), Loop(DataLoader(NUMBERED, 50))
    with scoring.read_by(trainer_of(loop)):
        pass
    assert torch.equal(torch.random.get_rng_state(), state)


def test_samples_of_a_shuffled_loader_are_read_in_order() -> None:
    shuffled = Loop(DataLoader(NUMBERED, 50, sampler=RandomSampler(NUMBERED)))
    assert read(ScoringSet(40, seed=3), shuffled) == read(ScoringSet(40, seed=3), Loop(DataLoader(NUMBERED, 50)))


@pytest.mark.parametrize("samples", [8, 15, 20, 40, 63, 199])
def test_there_are_eight_batches_at_the_least(samples: int) -> None:
    batches = read(ScoringSet(samples), Loop(DataLoader(NUMBERED, 50)))[0]
    assert len(flat(batches)) == samples
    assert len(batches) >= 8


def test_few_samples_are_a_batch_each_and_batches_are_no_larger_than_the_users() -> None:
    assert [len(batch) for batch in read(ScoringSet(5), Loop(DataLoader(NUMBERED, 50)))[0]] == [1] * 5
    assert {len(batch) for batch in read(ScoringSet(180), Loop(DataLoader(NUMBERED, 4)))[0]} == {4}


def test_ranks_read_disjoint_parts_of_one_choice() -> None:
    def part(rank: int) -> list[int]:
        sampler = DistributedSampler(NUMBERED, num_replicas=3, rank=rank, shuffle=False)
        return flat(read(ScoringSet(40, seed=3), Loop(DataLoader(NUMBERED, 50, sampler=sampler)), rank, 3)[0])

    parts = [part(rank) for rank in range(3)]
    alone = flat(read(ScoringSet(40, seed=3), Loop(DataLoader(NUMBERED, 50)))[0])
    assert [len(samples) for samples in parts] == [13] * 3  # as many each: none waits for another
    assert sorted(parts[0] + parts[1] + parts[2]) == alone[:39]


def test_the_share_is_of_what_is_read() -> None:
    scoring = ScoringSet(40)
    assert scoring.share == 1.0
    read(scoring, Loop(DataLoader(NUMBERED, 50)))
    assert scoring.share == 0.2
    distributed = ScoringSet(40)
    sampler = DistributedSampler(NUMBERED, num_replicas=2, rank=1, shuffle=False)
    read(distributed, Loop(DataLoader(NUMBERED, 50, sampler=sampler)), 1, 2)
    assert distributed.share == 0.2
    own = ScoringSet(None, DataLoader(TRAIN, 8))
    read(own, Loop(DataLoader(NUMBERED, 50)))
    assert (own.share, own.own_samples) == (0.2, 40)
    assert ScoringSet(40).own_samples is None


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return (NUMBERED[index] for index in range(200))


class Batches:
    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[Any]:
        return iter([NUMBERED[:50]])


class Ours(DataLoader[Any]):
    """Nobody knows what it does."""


WHOLE = {
    "no more samples than that": (lambda: DataLoader(NUMBERED, 50), 200, None),
    "limited": (lambda: DataLoader(NUMBERED, 50), 40, [2.0]),
    "iterable": (lambda: DataLoader(Stream(), 50), 40, None),
    "unbatched": (lambda: DataLoader(NUMBERED, None), 40, None),
    "no DataLoader": (Batches, 40, None),
    "a loader of one's own": (lambda: Ours(NUMBERED, 50), 40, None),
    "a sampler of one's own": (
        lambda: DataLoader(NUMBERED, 50, sampler=WeightedRandomSampler([1.0] * 200, 200)), 40, None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_left_whole(name: str) -> None:
    make, samples, limits = WHOLE[name]
    users = make()
    loop = Loop([users], limits)
    loop.setup_data()
    before = loop._max_batches
    scoring = ScoringSet(samples)
    for _ in range(2):
        with scoring.read_by(trainer_of(loop)):
            assert loop._combined_loader.flattened == [users]
            assert loop._max_batches is before
            assert not scoring.active
    assert scoring.share == 1.0


def test_without_a_limit_of_samples_the_users_validation_is_not_even_looked_at() -> None:
    loop = Loop(DataLoader(NUMBERED, 50))
    with ScoringSet(None).read_by(trainer_of(loop)):
        assert loop.made == 0


def test_two_loaders_are_read_one_after_the_other() -> None:
    loop = Loop(DataLoader(NUMBERED, 50))
    scoring = ScoringSet(None, [DataLoader(NUMBERED, 150), DataLoader(NUMBERED, 100)])
    with scoring.read_by(trainer_of(loop)):
        combined = loop._combined_loader
        combined.limits = loop._max_batches
        assert [(index, loader) for _, index, loader in combined] == [(0, 0), (1, 0), (0, 1), (1, 1)]


def test_sums_of_two_loaders_are_kept_apart() -> None:
    def result_of(loader: int | None, value: float, **changed: Any) -> Any:
        kind = {"name": "val_loss", "dataloader_idx": loader, "on_epoch": True, "is_mean_reduction": True}
        given = {"is_tensor": True, **changed}
        meta = SimpleNamespace(**{name: given.pop(name, usual) for name, usual in kind.items()})
        return SimpleNamespace(meta=meta, value=value, cumulated_batch_size=10.0 * value, **given)

    logged = [result_of(None, 1.0), result_of(0, 2.0), result_of(1, 3.0)]
    others = [{"is_tensor": False}, {"on_epoch": False}, {"is_mean_reduction": False}]
    logged += [result_of(None, 9.0, name="other", **changed) for changed in others]
    loop = SimpleNamespace(_results=dict(enumerate(logged)))
    assert running_sums(trainer_of(loop)) == {
        "val_loss": (1.0, 10.0),
        "val_loss/dataloader_idx_0": (2.0, 20.0),
        "val_loss/dataloader_idx_1": (3.0, 30.0),
    }


def test_of_two_loaders_each_has_its_part() -> None:
    loop = Loop([DataLoader(NUMBERED, 50), DataLoader(TRAIN, 8)])
    first, second = read(ScoringSet(50), loop)
    assert len(flat(first)) == 50
    assert len(flat(second)) == 40  # it has no more


def test_beside_a_part_a_stream_is_read_whole() -> None:
    loop = Loop([DataLoader(NUMBERED, 50), DataLoader(Stream(), 50)])
    scoring = ScoringSet(40)
    with scoring.read_by(trainer_of(loop)):
        assert loop._max_batches == [8, math.inf]
        assert len(flat(ids(loop._combined_loader.flattened[1]))) == 200
    assert scoring.share == 1.0  # nobody knows


def test_beside_a_part_the_users_limit_stays() -> None:
    loop = Loop([DataLoader(NUMBERED, 100), DataLoader(NUMBERED, 50)], [2, 2])
    with ScoringSet(40).read_by(trainer_of(loop)):
        assert loop._max_batches == [8, 2]


def test_everything_is_put_back_also_where_the_body_raises() -> None:
    users = DataLoader(NUMBERED, 50)
    loop, scoring = Loop(users), ScoringSet(40)
    seen = loop._seen_batches_per_dataloader = defaultdict(int, {0: 3})
    loop.setup_data()
    combined, limits = loop._combined_loader, loop._max_batches

    def body() -> None:
        with scoring.read_by(trainer_of(loop)):
            assert scoring.active
            assert loop._seen_batches_per_dataloader == {}
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        body()
    assert loop._combined_loader is combined
    assert loop._max_batches is limits
    assert loop._seen_batches_per_dataloader is seen
    assert "setup_data" not in vars(loop)
    assert not scoring.active


def test_loaders_that_were_reloaded_are_drawn_from_anew() -> None:
    scoring, loop = ScoringSet(40, seed=3), Loop(DataLoader(NUMBERED, 50))
    first = read(scoring, loop)
    with scoring.read_by(trainer_of(loop)):
        made = loop._combined_loader
    with scoring.read_by(trainer_of(loop)):
        assert loop._combined_loader is made  # once for the same loaders
    loop._combined_loader = CombinedLoader(DataLoader(TRAIN, 8), "sequential")
    with scoring.read_by(trainer_of(loop)):
        assert loop._combined_loader.flattened[0].dataset is TRAIN
    loop._combined_loader = CombinedLoader(DataLoader(NUMBERED, 50), "sequential")
    assert read(scoring, loop) == first


# ---- a loader of one's own


def test_a_loader_by_name() -> None:
    mine, theirs = [1], [2]
    module = SimpleNamespace(scores=lambda: mine)
    assert scoring_loader(None, SimpleNamespace(), module) is None  # type: ignore[arg-type]
    assert scoring_loader(mine, SimpleNamespace(), module) is mine  # type: ignore[arg-type]
    assert scoring_loader("scores", SimpleNamespace(datamodule=None), module) is mine  # type: ignore[arg-type]
    data = SimpleNamespace(scores=lambda: theirs)
    assert scoring_loader("scores", SimpleNamespace(datamodule=data), module) is theirs  # type: ignore[arg-type]


def test_a_stream_of_ones_own() -> None:
    loop = Loop(DataLoader(NUMBERED, 50))
    scoring = ScoringSet(None, DataLoader(Stream(), 50))
    with scoring.read_by(trainer_of(loop)):
        assert loop._max_batches == [math.inf]
    assert (scoring.share, scoring.own_samples) == (1.0, None)


def test_what_is_no_loader_or_has_nothing_to_score_on() -> None:
    module = SimpleNamespace(number=lambda: 3, nothing=list)
    for wanted in (3, "number"):
        with pytest.raises(TypeError, match=rf"val_dataloaders={wanted!r}\): need a loader, or the name .*, not int"):
            scoring_loader(wanted, SimpleNamespace(datamodule=None), module)  # type: ignore[arg-type]
    for wanted in ([], "nothing"):
        message = rf"val_dataloaders={re.escape(repr(wanted))}\): the loader has no batch to score on"
        with pytest.raises(ValueError, match=message):
            scoring_loader(wanted, SimpleNamespace(datamodule=None), module)  # type: ignore[arg-type]


def test_a_name_that_nobody_has() -> None:
    with pytest.raises(ValueError, match=r"val_dataloaders='scores'\): neither the data module nor the module has a"):
        scoring_loader("scores", SimpleNamespace(datamodule=None), SimpleNamespace(scores=3))  # type: ignore[arg-type]


# ---- in a fit

SEEN: list[tuple[str, list[int]]] = []


class Sees(Net):
    """Writes down what each validation reads; what stands outside of the module is not rewound."""

    def on_validation_epoch_start(self) -> None:
        SEEN.append(("sanity" if self.trainer.sanity_checking else str(self.trainer.current_epoch), []))

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        SEEN[-1][1].extend(int(x) for x in batch[0][:, 0])
        super().validation_step(batch, batch_idx)

    def scores(self) -> Any:
        return DataLoader(TensorDataset(*(part[100:130] for part in NUMBERED.tensors)), 10)


def fit(search: GammaLRSearch, val: Any = None, **options: Any) -> list[tuple[str, list[int]]]:
    SEEN.clear()
    trainer = trainers.trainer_of(search, max_epochs=3, **options)
    val = val if val is not None else DataLoader(NUMBERED, 50)
    trainer.fit(Sees(), DataLoader(TRAIN, 4, shuffle=True), val)
    assert ids(val) == ids(DataLoader(NUMBERED, 50))
    return list(SEEN)


FEW = {
    "first_random": 2,
    "first_model": 0,
    "later_candidates": 2,
    "later_share": SHORT,
    "min_steps": 2,
    "later_overhead": 9.0,
    "progress": False,
}


def scorings_of(seen: list[tuple[str, list[int]]], whole: int = 200) -> tuple[list[list[int]], list[str]]:
    """What candidates were scored on, and the epochs of the whole validations."""
    after = [(epoch, samples) for epoch, samples in seen if epoch != "sanity"]
    return [s for _, s in after if len(s) != whole], [epoch for epoch, s in after if len(s) == whole]


def test_candidates_of_all_epochs_read_the_same_and_the_committed_one_the_users() -> None:
    search = gamma_search(score_samples=64, seed=2, **FEW)
    scorings, whole = scorings_of(fit(search))
    assert whole == ["0", "1", "2"]
    # the untrained network, and two candidates an epoch
    assert len(scorings) == 1 + 3 * 2 == sum(record.scorings for record in search.history)
    assert all(samples == scorings[0] for samples in scorings)
    assert len(set(scorings[0])) == 64
    assert all(len(result.parts) == 8 for record in search.history for result in record.results)


@pytest.mark.parametrize("own", ["scores", Sees().scores()], ids=["by name", "object"])
def test_candidates_read_a_loader_of_ones_own(own: Any) -> None:
    search = gamma_search(val_dataloaders=own, score_samples=16, **FEW)
    scorings, whole = scorings_of(fit(search))
    assert whole == ["0", "1", "2"]
    assert len(scorings) == sum(record.scorings for record in search.history)
    assert all(samples == list(range(100, 130)) for samples in scorings)
    # the plan reckons with it as well
    plan = search._session.plan
    assert plan is not None
    assert plan.shape.val_ratio == 30 / 40
    first = search.history[0]
    assert first.val_passes == pytest.approx((1 + 2) * 30 / 200 + 1)
    assert plan.extra(plan.epoch_plan(first=True), first=True) == pytest.approx(1 + 3 * 30 / 40 * FORWARD)


def test_a_limited_validation_is_what_candidates_are_scored_on() -> None:
    search = gamma_search(score_samples=64, **FEW)
    seen = fit(search, limit_val_batches=2)
    assert {len(samples) for epoch, samples in seen if epoch != "sanity"} == {100}


GAVE: list[tuple[float, int]] = []


class Notes(Sees):
    """Logs under several names, and writes down what each batch gave."""

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        super().validation_step(batch, batch_idx)
        loss = self.loss(batch)
        GAVE.append((float(loss), len(batch[0])))
        self.log("val_metric", loss, on_step=True, on_epoch=True)
        self.log("val_max", loss, reduce_fx="max")


def test_what_is_left_out_is_what_the_batches_gave() -> None:
    """Of a real validation, its last batch smaller than the others."""
    search = gamma_search("once", objective="val_metric_epoch", mode="max", score_samples=61, **FEW)
    GAVE.clear()
    SEEN.clear()
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", callbacks=[search], num_sanity_val_steps=0, enable_checkpointing=False, **quiet
    )
    trainer.fit(Notes(), DataLoader(TRAIN, 4), DataLoader(NUMBERED, 50))
    for number, result in enumerate(search.history[0].results):
        first = 9 + number * 9  # that of the untrained network shows that the name is logged
        batches = GAVE[first : first + 9]
        assert [size for _, size in batches] == [7] * 8 + [5]
        total = sum(loss * size for loss, size in batches)
        assert result.score == pytest.approx(total / 61, rel=1e-6)
        left = [(total - loss * size) / (61 - size) for loss, size in batches]
        assert result.parts == pytest.approx(left, rel=1e-5)


def test_a_name_that_is_wrong_is_refused_before_training() -> None:
    with pytest.raises(ValueError, match="val_dataloaders='nowhere'"):
        fit(gamma_search(val_dataloaders="nowhere", **FEW))
