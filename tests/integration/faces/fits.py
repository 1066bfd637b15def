"""Small fits, plain and searched, of a module that is at hand; each begins from scratch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from torch.utils.data import DataLoader

from lightning_gammabo import GammaLRSearch, ListSampler
from lightning_gammabo.learning_rate.controller import LearningRates
from tests.helpers.searching import gamma_search
from tests.integration.identity.fingerprint import differences, fingerprint
from tests.integration.identity.scenarios import TRAIN, VAL, Net

QUIET = {
    "logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False,
    "accelerator": "cpu",
}  # fmt: skip
COMMITS = pytest.mark.parametrize("commit", ["copy", "replay"])


def one(**given: Any) -> GammaLRSearch:
    """One candidate, at the rate that the optimizer would use anyway: the plain fit."""
    return gamma_search(**{"policy": "identity", "progress": False, **given})


def several(*rates: float, **given: Any) -> GammaLRSearch:
    """Whole candidates in each epoch: the present rate and some others."""
    return gamma_search(**{"policy": "thesis", "sampler": ListSampler(list(rates)), "progress": False, **given})


def partial(*rates: float, **given: Any) -> GammaLRSearch:
    """Candidates that train a part of the epoch, from which the chosen one goes on."""
    return several(*rates, **{"min_steps": 2, "later_share": 0.4, "first_share": 0.4, **given})


def default(**given: Any) -> GammaLRSearch:
    """As a user has it; few candidates, and no surrogate, which is not the matter here."""
    return gamma_search(**{"progress": False, "sampler": "random", "first_random": 3, "first_model": 1, **given})


class Follows(Callback):
    """A plain fit of someone who knew the chosen rates: sets them at the start of each epoch."""

    def __init__(self, rates: Sequence[float]) -> None:
        self.rates = list(rates)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        LearningRates(trainer.optimizers).set(self.rates.pop(0))


class Fit:
    """A fit that has ended."""

    def __init__(
        self,
        module: Callable[[], LightningModule] = Net,
        search: Callback | None = None,
        *,
        train: Callable[[], Any] = lambda: DataLoader(TRAIN, 8, shuffle=True),
        val: Callable[[], Any] | None = lambda: DataLoader(VAL, 10),
        callbacks: Callable[[], list[Callback]] = list,
        extra: Callable[[Any], Any] = lambda module: None,
        ckpt_path: Any = None,
        epochs: int = 3,
        **options: Any,
    ) -> None:
        seed_everything(7, verbose=False)
        self.module = module()
        self.search = search
        mine = [search] if search is not None else []
        self.trainer = Trainer(callbacks=[*callbacks(), *mine], **{**QUIET, "max_epochs": epochs, **options})
        self.trainer.fit(self.module, train(), val() if val is not None else None, ckpt_path=ckpt_path)
        self.left = {**fingerprint(self.trainer, self.module), "extra": extra(self.module)}

    @property
    def rates(self) -> list[float]:
        """The chosen rate of each searched epoch."""
        assert isinstance(self.search, GammaLRSearch)
        return [record.chosen.lr for record in self.search.history if record.chosen is not None]

    def differs_from(self, other: Fit) -> list[str]:
        """Names of what the two left behind differently."""
        return differences(other.left, self.left)


def assert_no_trace(commit: Any, **fit: Any) -> None:
    """One candidate is the plain fit; several, whole and partial, are the fit of someone who knew the rates."""
    plain = Fit(**fit)
    assert Fit(search=one(commit=commit), **fit).differs_from(plain) == []
    for search in (several(0.02, 0.2, 0.001, commit=commit), partial(0.02, 0.2, 0.001, commit=commit)):
        searched = Fit(search=search, **fit)
        own = fit.get("callbacks", list)
        followed = Fit(**{**fit, "callbacks": lambda own=own, rates=searched.rates: [*own(), Follows(rates)]})
        assert searched.differs_from(followed) == []
