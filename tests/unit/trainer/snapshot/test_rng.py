"""The generators that training draws from, as one value."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest
import torch

from lightning_gammabo.trainer.snapshot.rng import RngState


def draw() -> list[object]:
    """A few numbers of each global generator; the normal ones come in pairs, of which one is kept back."""
    pulled = [random.random(), random.gauss(0.0, 1.0), np.random.rand(), np.random.randn(), np.random.randint(9)]
    return [*pulled, torch.rand(3).tolist(), torch.randn(()).item(), torch.randperm(5).tolist()]


@pytest.mark.parametrize("ahead", [0, 1, 700])
def test_the_same_numbers_are_drawn_again(ahead: int) -> None:
    for _ in range(ahead):
        random.gauss(0.0, 1.0)
        np.random.randn()
        torch.rand(())
    state = RngState.take()
    first, second = draw(), draw()
    assert first != second
    for _ in range(2):  # a state is not used up
        state.restore()
        assert [draw(), draw()] == [first, second]


def test_half_a_pair_of_normal_numbers_is_kept() -> None:
    random.gauss(0.0, 1.0)
    np.random.randn()
    state = RngState.take()
    expected = random.gauss(0.0, 1.0), np.random.randn()
    state.restore()
    assert (random.gauss(0.0, 1.0), np.random.randn()) == expected


def test_later_draws_do_not_change_a_state() -> None:
    state = RngState.take()
    before = state.to_plain()
    draw()
    after = state.to_plain()
    assert torch.equal(after.pop("torch_cpu"), before.pop("torch_cpu"))
    assert after == before


def test_a_state_is_frozen() -> None:
    with pytest.raises(AttributeError, match="cannot assign to field"):
        RngState.take().python = ()  # type: ignore[misc]


def test_plain_values_go_through_a_safe_checkpoint() -> None:
    draw()
    state = RngState.take()
    file = io.BytesIO()
    torch.save(state.to_plain(), file)
    expected = draw()
    file.seek(0)
    again = RngState.from_plain(torch.load(file, weights_only=True))
    again.restore()
    assert draw() == expected
    assert again.python == state.python
    assert again.numpy[1].dtype == np.uint32


def test_plain_values_are_copies() -> None:
    state = RngState.take()
    plain = state.to_plain()
    plain["torch_cpu"].zero_()
    plain["python"][1].clear()
    expected = draw()
    state.restore()
    assert draw() == expected


@pytest.mark.parametrize("way", ["ends", "raises", "interrupted"])
def test_a_kept_block_leaves_no_trace(way: str) -> None:
    state = RngState.take()
    expected = draw()
    state.restore()
    errors = {"ends": None, "raises": ValueError("boom"), "interrupted": KeyboardInterrupt("boom")}
    error = errors[way]
    if error is None:
        with RngState.kept():
            assert draw() == expected
    else:
        with pytest.raises(type(error), match="boom"), RngState.kept():  # noqa: PT012
            draw()
            raise error
    assert draw() == expected


def test_seeds_set_inside_a_kept_block_do_not_leave_it() -> None:
    state = RngState.take()
    expected = draw()
    state.restore()
    with RngState.kept():
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
    assert draw() == expected


def test_states_of_devices_are_plain_too() -> None:
    state = RngState.take()
    held = RngState(state.python, state.numpy, state.torch_cpu, [torch.tensor([1, 2])])
    again = RngState.from_plain(held.to_plain())
    assert [device.tolist() for device in again.devices] == [[1, 2]]
    assert again.devices[0] is not held.devices[0]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_device_generators_draw_the_same_again() -> None:
    torch.rand(1, device="cuda")
    state = RngState.from_plain(RngState.take().to_plain())
    first = torch.rand(3, device="cuda")
    state.restore()
    assert torch.equal(torch.rand(3, device="cuda"), first)
