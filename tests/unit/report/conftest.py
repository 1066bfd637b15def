from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def no_window() -> Iterator[None]:
    try:
        import matplotlib.pyplot as plt
    except ModuleNotFoundError:
        yield
        return
    plt.switch_backend("Agg")
    yield
    plt.close("all")
