"""Modules that are sharded, or look like it, in one process; tests/integration/sharded has real ones."""

from __future__ import annotations

from torch import nn

from lightning_gammabo.trainer.snapshot.sharding import forget_interrupted_step, is_sharded, reshard


class Sharded(nn.Module):
    """What ``fully_shard`` adds to a module, written down."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.calls: list[str] = []

    def unshard(self) -> None:
        self.calls.append("unshard")

    def reshard(self) -> None:
        self.calls.append("reshard")

    def reset_iter_state(self) -> None:
        self.calls.append("reset")


def test_an_ordinary_module_is_left_alone() -> None:
    module = nn.Sequential(nn.Linear(1, 1))
    reshard(module)
    forget_interrupted_step(module)
    assert not is_sharded(module)


def test_every_part_is_resharded_and_gathered_once_before() -> None:
    inner = Sharded()
    outer = Sharded(inner, nn.Linear(1, 1))
    reshard(nn.Sequential(outer))
    reshard(nn.Sequential(outer))
    # the first time it is gathered, so that it has its hooks before the snapshot
    assert outer.calls == inner.calls == ["unshard", "reshard", "reshard"]


def test_only_the_outermost_parts_forget_an_interrupted_step() -> None:
    inner, other = Sharded(), Sharded()
    outer = Sharded(inner)
    forget_interrupted_step(nn.Sequential(outer, other))
    assert (outer.calls, inner.calls, other.calls) == (["reset"], [], ["reset"])


def test_an_older_pytorch_has_nothing_to_forget() -> None:
    class Older(nn.Module):
        def unshard(self) -> None: ...

        def reshard(self) -> None: ...

    forget_interrupted_step(Older())
