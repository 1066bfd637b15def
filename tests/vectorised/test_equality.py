"""What cannot be trained together is found out, named in a line, and leaves no trace."""

from __future__ import annotations

import contextlib
import random
import warnings
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchmetrics import MeanMetric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from lightning_gammabo.vectorised import check_equal, equality
from tests.identity.fingerprint import plain
from tests.vectorised.networks import NETWORKS, Classifier, batches, mlp, normed


def rates(number: int) -> list[list[float]]:
    return [[0.05], [0.2], [1.0]]


def check(model: nn.Module, *, optimizer: Any = None, count: int = 3, **options: Any) -> str | None:
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return check_equal(model, [optimizer], batches(count), rates, **options)


@pytest.mark.parametrize(
    "options", [{}, {"clip_val": 0.1}, {"clip_val": 0.01, "clip_algorithm": "value"}, {"accumulate": 2}]
)
@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
@pytest.mark.parametrize("network", NETWORKS)
def test_what_is_equal(network: str, kind: Any, options: dict[str, Any]) -> None:
    model = NETWORKS[network]()
    assert check(model, optimizer=kind(model.parameters(), lr=0.1), **options) is None


def test_metrics_in_the_training_step_are_set_aside() -> None:
    class Measured(Classifier):
        def __init__(self) -> None:
            super().__init__(mlp().net)
            self.accuracy = MulticlassAccuracy(4)
            self.collected = MetricCollection({"a": MulticlassAccuracy(4), "b": MulticlassAccuracy(4, top_k=2)})
            self.mean = MeanMetric()

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            out = self.net(batch[0])
            loss = F.cross_entropy(out, batch[1])
            self.log("acc", self.accuracy(out, batch[1]))
            self.log_dict({name: value + 0 for name, value in self.collected(out, batch[1]).items()})
            self.mean.update(loss)
            self.log("mean", self.mean.compute())
            self.mean.reset()
            return loss

    model = Measured()
    model.accuracy.update(torch.eye(4), torch.arange(4))
    before = float(model.accuracy.compute())
    assert check(model) is None
    assert float(model.accuracy.compute()) == before
    assert "forward" not in vars(model.accuracy)
    assert "log" not in vars(model)


def test_bfloat16_by_autocast() -> None:
    context = lambda: torch.autocast("cpu", torch.bfloat16)  # noqa: E731
    # its numbers have three digits
    assert check(mlp(), context=context, tolerance=1e-2) is None
    assert "differs by" in str(check(mlp(), context=context, tolerance=1e-7))


class Bad(Classifier):
    """A network whose step does something more; see the cases."""

    case: ClassVar[str] = ""

    def __init__(self, case: str) -> None:
        super().__init__(mlp().net)
        self.case_, self.seen, self.counts = case, [], {"steps": 0}
        self.random = random.Random(0)
        self.generator = torch.Generator().manual_seed(0)
        self.numpy = np.random.default_rng(0)
        self.history = np.zeros(3)
        self.centre = torch.zeros(4)
        self.spare = nn.Linear(3, 3)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        out = self.net(batch[0])
        loss = F.cross_entropy(out, batch[1])
        return getattr(self, f"_{self.case_}")(out, loss, batch)

    def _appends(self, out: Tensor, loss: Tensor, batch: Any) -> Tensor:
        self.seen.append(loss.detach())
        return loss

    def _counts(self, out: Tensor, loss: Tensor, batch: Any) -> Tensor:
        self.counts["steps"] += 1
        return loss

    def _draws(self, out: Tensor, loss: Tensor, batch: Any) -> Tensor:
        return loss * self.random.random()

    def _draws_numpy(self, out: Tensor, loss: Tensor, batch: Any) -> Tensor:
        return loss * float(self.numpy.random())

    def _draws_torch(self, out: Tensor, loss: Tensor, batch: Any) -> Tensor:
        return loss * torch.rand((), generator=self.generator)

    def _array(self, out: Tensor, loss: Tensor, batch: Any) -> Tensor:
        self.history[0] += 1
        return loss

    def _tensor(self, out: Tensor, loss: Tensor, batch: Any) -> Tensor:
        self.centre = 0.9 * self.centre + 0.1 * out.detach().mean(0)
        return loss

    def _branches(self, out: Tensor, loss: Tensor, batch: Any) -> Tensor:
        return loss * 2 if loss > 1 else loss

    def _items(self, out: Tensor, loss: Tensor, batch: Any) -> Tensor:
        return loss / max(loss.item(), 1e-3)

    def _skips(self, out: Tensor, loss: Tensor, batch: Any) -> None:
        return None

    def _detached(self, out: Tensor, loss: Tensor, batch: Any) -> Tensor:
        return loss.detach()

    def _dict(self, out: Tensor, loss: Tensor, batch: Any) -> Any:
        return {"losses": loss}


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("appends", "training_step keeps state in `seen`"),
        ("counts", "training_step keeps state in `counts`"),
        ("draws", "training_step keeps state in `random`"),
        ("draws_numpy", "training_step keeps state in `numpy`"),
        ("draws_torch", "training_step keeps state in `generator`"),
        ("array", "training_step keeps state in `history`"),
        ("tensor", "training_step keeps state in `centre`"),
        ("branches", "training_step reads a value off a tensor (`.item()`, or control flow that depends on data)"),
        ("items", "training_step reads a value off a tensor"),
        ("skips", "training_step gives no loss"),
        ("dict", "training_step gives no loss"),
        ("detached", "the loss depends on no parameter"),
    ],
)
def test_what_a_step_does_is_found(case: str, reason: str) -> None:
    model = Bad(case)
    optimizer = torch.optim.Adam([*model.net.parameters()], lr=0.1)
    torch.manual_seed(3)
    before = state_of(model, optimizer)
    found = check(model, optimizer=optimizer)
    assert found is not None
    assert found.startswith("cannot be vectorised: ")
    assert reason in found
    assert len(found.splitlines()) == 1
    assert state_of(model, optimizer) == before


def state_of(model: Any, optimizer: Any) -> Any:
    python = [model.seen, model.counts, model.random.getstate(), str(model.numpy.bit_generator.state)]
    python += [model.generator.get_state(), model.history.tolist(), model.centre, type(model).__name__]
    generators = [torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()]
    grads = [parameter.grad is None for parameter in model.parameters()]
    return plain([dict(model.state_dict()), optimizer.state_dict(), python, generators, grads, sorted(vars(model))])


def test_a_good_module_is_left_as_it_was_too() -> None:
    model = normed()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    data = batches(3)
    images = [x.clone() for x, _ in data]
    before = plain([dict(model.state_dict()), optimizer.state_dict(), torch.get_rng_state(), sorted(vars(model))])
    assert check_equal(model, [optimizer], data, rates) is None
    after = plain([dict(model.state_dict()), optimizer.state_dict(), torch.get_rng_state(), sorted(vars(model))])
    assert after == before
    assert all(torch.equal(x, image) for (x, _), image in zip(data, images, strict=True))
    assert type(model) is Classifier


def test_rates_may_be_read_off_the_optimizer() -> None:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    follows = lambda _: [[optimizer.param_groups[0]["lr"] * m] for m in (1.0, 0.1)]  # noqa: E731
    assert check_equal(model, [optimizer], batches(3), follows) is None
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_parameters_without_a_gradient_are_named() -> None:
    model = Bad("plain")
    model._plain = lambda out, loss, batch: loss
    assert check(model) == (
        "cannot be vectorised: spare.weight gets no gradient, and is then passed over by the optimizer"
    )
    model.spare.requires_grad_(False)
    assert check(model) == "cannot be vectorised: the optimizer has parameters that are frozen"


def test_errors_of_the_users_own_step_are_not_hidden() -> None:
    model = Bad("no_such_case")
    with pytest.raises(AttributeError, match="_no_such_case"):
        check(model)


def test_an_operation_without_a_batched_form_is_named() -> None:
    class Recurrent(Classifier):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return F.cross_entropy(self.net(batch[0].squeeze(1))[0][:, -1], batch[1])

    assert "aten::lstm" in str(check(Recurrent(nn.LSTM(8, 4, batch_first=True))))


def test_a_warning_of_slowness_is_a_reason() -> None:
    class Warns(Classifier):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            warnings.warn("There is a performance drop because of aten::some_op. Please file us an issue", stacklevel=2)
            return super().training_step(batch, batch_idx)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert check(Warns(mlp().net)) == ("cannot be vectorised: aten::some_op would run for one candidate at a time")


def test_other_random_numbers_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightning_gammabo.vectorised.equality._train_pair", drawn_anew(equality._train_pair))
    assert "candidate 0 differs by" in str(check(normed()))
    # without a device that draws other numbers by itself, dropout is no excuse
    assert check(mlp()) is None


def drawn_anew(native: Any) -> Any:
    def pair(plan: Any) -> Any:
        torch.manual_seed(1234)
        return native(plan)

    return pair


def test_on_a_gpu_dropout_may_draw_other_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightning_gammabo.vectorised.equality._train_pair", drawn_anew(equality._train_pair))
    monkeypatch.setattr("lightning_gammabo.vectorised.equality._on_gpu", lambda module: True)
    model = normed()
    assert check(model) is None
    assert model.net[4].p == 0.3


def test_what_differs_in_value_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    # a clipping other than torch's shows in the second loss
    monkeypatch.setattr("lightning_gammabo.vectorised.race.clip", lambda gradients, *_: gradients)
    found = check(mlp(), clip_val=1e-3)
    assert found is not None
    assert found.startswith("cannot be vectorised: candidate 0 differs by ")
    assert found.endswith(" from the one trained alone")


def test_running_statistics_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightning_gammabo.vectorised.stacked.StackedModel.take_buffers", lambda *_: None)
    assert check(normed()) == "cannot be vectorised: candidate 0 differs by 1.0e+00 from the one trained alone"


@pytest.mark.parametrize("where", ["self", "self.trainer"])
def test_counters_that_stand_still_are_noted(where: str) -> None:
    class Annealed(Classifier):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            step = (self if where == "self" else self.trainer).global_step
            return super().training_step(batch, batch_idx) * (1 + step / 10)

    class Asks(LightningModule):
        pass

    found: list[Any] = []
    kinds: list[Any] = []

    class Checked(Annealed):
        def on_train_start(self) -> None:
            kinds.append((type(self), self.trainer.__class__))
            found.append(check_equal(self, self.trainer.optimizers, batches(2), rates))
            kinds.append((type(self), self.trainer.__class__))

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(max_epochs=1, accelerator="cpu", enable_model_summary=False, **quiet)
    with contextlib.suppress(StopIteration):
        trainer.fit(Checked(mlp().net), DataLoader(batches(2), batch_size=None))
    assert found == [
        "cannot be vectorised: training_step reads `global_step`, which stands still while candidates are trained "
        "together"
    ]
    assert kinds[0] == kinds[1] == (Checked, Trainer)
