"""An attribute that is exchanged for a block comes back, however the block ends."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from lightning_gammabo.trainer.patch import replaced


class Limited:
    limit = 3


def test_an_attribute_of_the_object_is_put_back() -> None:
    owner = SimpleNamespace(limit=3)
    with replaced(owner, "limit", 0):
        assert owner.limit == 0
    assert vars(owner) == {"limit": 3}


def test_an_attribute_of_the_class_is_left_alone() -> None:
    owner = Limited()
    with replaced(owner, "limit", 0):
        assert (owner.limit, Limited.limit) == (0, 3)
    assert vars(owner) == {}
    assert owner.limit == 3


def test_an_attribute_that_holds_none_is_not_one_that_is_missing() -> None:
    owner = SimpleNamespace(limit=None)
    with replaced(owner, "limit", 0):
        pass
    assert vars(owner) == {"limit": None}


@pytest.mark.parametrize("owner", [SimpleNamespace(limit=3), SimpleNamespace()])
def test_it_is_put_back_where_the_block_raises(owner: SimpleNamespace) -> None:
    before = dict(vars(owner))
    with pytest.raises(RuntimeError, match="boom"), replaced(owner, "limit", 0):
        raise RuntimeError("boom")
    assert vars(owner) == before


def test_a_module_is_an_owner_too() -> None:
    with replaced(math, "pi", 3.0):
        assert math.pi == 3.0
    assert math.pi == pytest.approx(3.14159, abs=1e-5)
