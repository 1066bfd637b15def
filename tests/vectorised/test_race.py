"""Candidates trained together are the candidates trained one after the other."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_gammabo.records import TrialState
from lightning_gammabo.rng import RngState
from lightning_gammabo.vectorised import VectorisedTrainer, train_stacked
from tests.vectorised.networks import NETWORKS, batches, lenet, mlp, normed, two_groups
from tests.vectorised.reference import assert_same_state, train_alone

OPTIMIZERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.01}),
    "adamw": (torch.optim.AdamW, {"weight_decay": 0.01, "eps": 1e-3}),
}
"""eps is large: Adam makes a whole step of a gradient that is nothing but rounding (a bias before batch norm)"""
RATES = [[0.001, 0.01], [0.02, 0.002], [0.05, 0.05]]


def together(model: nn.Module, optimizer: Any, data: list[Any], rates: Any = RATES, **options: Any) -> Any:
    trainer = VectorisedTrainer(model, [optimizer], candidates=len(rates), rates=lambda _: rates, **options)
    for number, batch in enumerate(data):
        trainer.step(batch, number, last=number == len(data) - 1)
    return trainer


@pytest.mark.parametrize(
    "options",
    [{}, {"clip_val": 0.3}, {"clip_val": 0.01, "clip_algorithm": "value"}, {"accumulate": 4}],
    ids=["plain", "norm", "value", "accumulate"],
)
@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("network", NETWORKS)
def test_the_same_losses_weights_and_states(network: str, kind: str, options: dict[str, Any]) -> None:
    model, data = NETWORKS[network](), batches()
    optimizer = two_groups(model, OPTIMIZERS[kind][0], **OPTIMIZERS[kind][1])
    begun = train_alone(model, optimizer, batches(2), [[0.01, 0.01]] * 2)  # with a state that has accumulated
    model, optimizer = begun.module, begun.optimizer
    alone = [train_alone(model, optimizer, data, [rates] * len(data), **options) for rates in RATES]

    with RngState.kept():
        trainer = together(model, optimizer, data, **options)
    assert trainer.diverged_at == [None, None, None]
    for candidate, reference in enumerate(alone):
        assert trainer.losses[candidate] == pytest.approx(reference.losses, rel=1e-5)
        trainer.write_back(candidate)
        assert_same_state((model, optimizer), (reference.module, reference.optimizer), rtol=1e-4, atol=1e-5)
    winner = min(range(3), key=lambda k: alone[k].losses[-1])
    assert min(range(3), key=lambda k: trainer.losses[k][-1]) == winner


def test_nothing_is_written_before_write_back_but_random_numbers() -> None:
    model, data = normed(), batches(2)
    optimizer = torch.optim.Adam(model.parameters())
    before, groups = copy.deepcopy(model.state_dict()), copy.deepcopy(optimizer.state_dict())
    together(model, optimizer, data, [[0.1], [0.2]])
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert optimizer.state_dict() == groups
    assert all(parameter.grad is None for parameter in model.parameters())


def test_random_numbers_move_as_one_candidate_moves_them() -> None:
    model, data = normed(), batches(3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.manual_seed(5)
    together(model, optimizer, data, [[0.1], [0.2]])
    after = torch.get_rng_state()
    torch.manual_seed(5)
    for batch in data:
        model.net(batch[0])
    assert torch.equal(after, torch.get_rng_state())


@pytest.mark.parametrize("network", ["normed", "lenet"])
def test_one_that_diverges_disturbs_nobody(network: str) -> None:
    model, data = NETWORKS[network](), batches()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    rates = [[0.01], [1e38], [0.1], [float("inf")]]
    with RngState.kept():
        trainer = together(model, optimizer, data, rates)
    with RngState.kept():
        others = together(model, optimizer, data, [[0.01], [0.1]])
    assert [trainer.losses[0], trainer.losses[2]] == [pytest.approx(row, rel=1e-6) for row in others.losses]

    ended = trainer.diverged_at
    assert ended[0] is ended[2] is None
    assert ended[3] == 0  # its weights were not finite after the first batch
    for candidate in (1, 3):
        assert len(trainer.losses[candidate]) == ended[candidate] + 1
        trainer.write_back(candidate)
        assert all(bool(value.isfinite().all()) for value in model.state_dict().values())


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_without_looking_at_values_it_is_the_same(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = normed(), batches()
    optimizer = OPTIMIZERS[kind][0](model.parameters(), lr=0.1, **OPTIMIZERS[kind][1])
    rates = [[0.01], [1e38], [0.1], [float("nan")]]
    with RngState.kept():
        looking = together(model, optimizer, data, rates)
    blind = VectorisedTrainer(model, [optimizer], candidates=4, rates=lambda _: rates)
    blind._looks = False  # as on a GPU, where a look is a synchronisation
    monkeypatch.setattr(Tensor, "__bool__", lambda _: pytest.fail("a value was looked at"))
    for number, batch in enumerate(data):
        blind.step(batch, number, last=number == len(data) - 1)
    monkeypatch.undo()
    assert blind.diverged_at == looking.diverged_at
    assert blind.losses[0] == looking.losses[0]
    for candidate in range(4):
        looking.write_back(candidate)
        one = copy.deepcopy(model.state_dict())
        blind.write_back(candidate)
        torch.testing.assert_close(model.state_dict(), one, rtol=0, atol=0)


def test_a_diverged_candidate_keeps_its_last_finite_weights() -> None:
    model, data = lenet(), batches(6)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    bad = [(torch.full_like(x, torch.nan), y) if number == 3 else (x, y) for number, (x, y) in enumerate(data)]
    alone = train_alone(model, optimizer, data[:3], [[0.1]] * 3)
    trainer = together(model, optimizer, bad, [[0.1], [0.2]])
    assert trainer.diverged_at == [3, 3]
    assert [len(row) for row in trainer.losses] == [4, 4]
    trainer.write_back(0)
    torch.testing.assert_close(model.state_dict(), alone.module.state_dict(), rtol=1e-4, atol=1e-6)


def test_frozen_parameters_are_shared_and_left_alone() -> None:
    model, data = mlp(), batches(3)
    model.net[1].requires_grad_(False)
    trained = list(model.net[3].parameters())
    optimizer = torch.optim.SGD(trained, lr=0.1)
    alone = train_alone(model, optimizer, data, [[0.1]] * 3)
    trainer = together(model, optimizer, data, [[0.1], [0.2]])
    assert trainer.losses[0] == pytest.approx(alone.losses, rel=1e-6)
    trainer.write_back(0)
    torch.testing.assert_close(model.state_dict(), alone.module.state_dict())


def test_tied_weights_stay_tied() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = nn.Linear(64, 64), nn.Linear(64, 64)
            self.other.weight = self.one.weight

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            x = batch[0].flatten(1)
            return (self.other(self.one(x).tanh()) - x).square().mean()

    torch.manual_seed(0)
    model, data = Tied(), batches(4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    alone = train_alone(model, optimizer, data, [[0.5]] * 4)
    trainer = together(model, optimizer, data, [[0.5], [0.1]])
    assert trainer.losses[0] == pytest.approx(alone.losses, rel=1e-6)
    trainer.write_back(0)
    assert model.one.weight is model.other.weight
    torch.testing.assert_close(model.state_dict(), alone.module.state_dict())


class Shared(nn.Module):
    """One module under two names, and one buffer in two modules."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64))
        self.second = self.first
        self.head = nn.Linear(64, 4)
        self.head.register_buffer("count", self.first[1].num_batches_tracked)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        out = self.head(self.second(self.first(batch[0].flatten(1)).relu()))
        return nn.functional.cross_entropy(out, batch[1]) * (1 + 0.01 * self.head.count)


def test_shared_modules_and_buffers_are_given_back() -> None:
    torch.manual_seed(0)
    model, data = Shared(), batches(4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    alone = [train_alone(model, optimizer, data, [[rate]] * 4) for rate in (0.01, 0.1)]
    tensors = [*model.named_parameters(), *model.named_buffers(remove_duplicate=False)]
    trainer = together(model, optimizer, data, [[0.01], [0.1]])
    now = [*model.named_parameters(), *model.named_buffers(remove_duplicate=False)]
    assert all(one[0] == other[0] and one[1] is other[1] for one, other in zip(tensors, now, strict=True))
    for candidate, reference in enumerate(alone):
        assert trainer.losses[candidate] == pytest.approx(reference.losses, rel=1e-5)
        trainer.write_back(candidate)
        torch.testing.assert_close(model.state_dict(), reference.module.state_dict(), rtol=1e-4, atol=1e-5)


class Buffered(nn.Module):
    """Replaces a buffer by a new tensor, and writes into another in place."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(64, 4)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(4), persistent=False)
        self.register_buffer("largest", torch.tensor(0.0))

    def training_step(self, batch: Any) -> dict[str, Tensor]:
        out = self.net(batch[0].flatten(1))
        self.steps += 1
        self.mean = 0.9 * self.mean + 0.1 * out.detach().mean(dim=0)
        self.largest.copy_(out.detach().max())
        return {"loss": nn.functional.cross_entropy(out - self.mean, batch[1]).reshape(1), "out": out}


def test_buffers_replaced_or_written_belong_to_each_candidate() -> None:
    model, data = Buffered(), batches(4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    trainer = together(model, optimizer, data, [[0.1], [0.5]])
    for candidate, rate in enumerate((0.1, 0.5)):
        alone, losses = copy.deepcopy(model), []
        opt = torch.optim.SGD(alone.parameters(), lr=rate)
        for batch in data:
            opt.zero_grad()
            loss = alone.training_step(batch)["loss"]
            loss.backward()
            opt.step()
            losses.append(loss.item())
        assert trainer.losses[candidate] == pytest.approx(losses, rel=1e-6)
        written = trainer.buffers_of(candidate)
        torch.testing.assert_close(written, dict(alone.named_buffers()))
    assert int(written["steps"]) == 4
    held = model.steps
    trainer.write_back(1)
    assert model.steps is held
    assert int(held) == 4


def test_rates_are_asked_for_by_batch() -> None:
    model, data, asked = mlp(), batches(5), []

    def rates(number: int) -> list[list[float]]:
        asked.append(number)
        return [[0.1 / (number + 1)], [0.0]]

    trainer = VectorisedTrainer(
        model, [torch.optim.SGD(model.parameters(), lr=9.0)], candidates=2, rates=rates, accumulate=2
    )
    for number, batch in enumerate(data):
        trainer.step(batch, number, last=number == 4)
    assert asked == [1, 3, 4]
    optimizer = torch.optim.SGD(model.parameters(), lr=9.0)
    alone = train_alone(model, optimizer, data, [[0.1 / (n + 1)] for n in range(5)], accumulate=2)
    assert trainer.losses[0] == pytest.approx(alone.losses, rel=1e-6)


def test_train_stacked_keeps_the_ratios_of_groups() -> None:
    model, data = mlp(), batches(4)
    optimizer = two_groups(model, torch.optim.SGD)  # 0.01 and 0.001
    alone = train_alone(model, optimizer, data, [[r, r / 10] for r in (0.4, 0.3, 0.2, 0.1)])
    result = train_stacked(model, optimizer, data, [[0.4, 0.3, 0.2, 0.1], [0.01]])
    assert result.losses[0] == pytest.approx(alone.losses, rel=1e-6)
    assert result.states == (TrialState.COMPLETE, TrialState.COMPLETE)
    assert result.best == 0
    result.write_back(0)
    torch.testing.assert_close(model.state_dict(), alone.module.state_dict())


def test_the_best_is_none_where_all_diverged() -> None:
    model, data = mlp(), batches(3)
    result = train_stacked(model, torch.optim.SGD(model.parameters(), lr=0.1), data, [[float("nan")], [float("inf")]])
    assert (result.best, result.diverged_at) == (None, (0, 0))


def test_what_cannot_be_trained_is_refused() -> None:
    model = mlp()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    stacked = {"candidates": 2, "rates": lambda _: [[0.1], [0.2]]}
    with pytest.raises(ValueError, match="needs one optimizer and at least one candidate, got 2 optimizers"):
        VectorisedTrainer(model, [sgd, sgd], **stacked)
    with pytest.raises(ValueError, match="candidates=0; train one candidate after the other"):
        VectorisedTrainer(model, [sgd], **{**stacked, "candidates": 0})
    with pytest.raises(RuntimeError, match="parameters that are not the module's"):
        VectorisedTrainer(mlp(), [sgd], **stacked)
    model.net[3].double()
    with pytest.raises(RuntimeError, match="not all of one kind of number on one device"):
        VectorisedTrainer(model, [sgd], **stacked)
    with pytest.raises(ValueError, match=r"one for each of the 3 batches, for every candidate; got \[1, 2\]"):
        train_stacked(model, sgd, batches(3), [[0.1], [0.1, 0.2]])
    zero = torch.optim.SGD([{"params": model.net[1].parameters(), "lr": 0.0}, {"params": model.net[3].parameters()}])
    with pytest.raises(ValueError, match="the first group's rate is 0"):
        train_stacked(model, zero, batches(3), [[0.1]])
