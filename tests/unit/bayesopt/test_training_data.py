from __future__ import annotations

import pytest
import torch
from botorch.exceptions.errors import BotorchTensorDimensionError, InputDataError

from lightning_gammabo.bayesopt.training_data import appended, broadcast, validate


@pytest.mark.parametrize(
    ("x", "y"), [((3,), (3,)), ((3, 1), (3,)), ((3, 1), (4, 1)), ((2, 3, 1), (3, 1)), ((0, 1), (0, 1))]
)
def test_shapes_that_do_not_fit_are_refused(x: tuple[int, ...], y: tuple[int, ...]) -> None:
    with pytest.raises(BotorchTensorDimensionError, match=r"needs train_X b x n x d .* got \("):
        validate(torch.zeros(x), torch.zeros(y))


def test_values_that_do_not_fit_are_refused() -> None:
    x = torch.zeros(2, 1)
    with pytest.raises(InputDataError, match=r"one data type, got torch.float32 and torch.float64"):
        validate(x, x.double())
    with pytest.raises(InputDataError, match="not finite"):
        validate(x, torch.tensor([[0.0], [torch.nan]]))
    validate(x, x)


def test_batches_broadcast_when_observations_are_appended() -> None:
    old, new = torch.randn(3, 2), torch.randn(4, 1, 2).double()
    both = appended(old, new)
    assert both.shape == (4, 4, 2)
    for k in range(4):
        assert torch.equal(both[k], torch.cat([old, new[k].float()]))
    assert broadcast(torch.Size([4, 1]), torch.Size([3])) == (4, 3)
