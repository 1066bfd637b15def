from __future__ import annotations

import pytest

from lightning_gammabo.report.extras import check_extras


def test_what_is_there_is_not_complained_of() -> None:
    check_extras("A sum", "math", "json")


@pytest.mark.parametrize(
    ("packages", "missing"),
    [
        (("math", "no_such_one"), "no_such_one"),
        (("no_such_one", "json", "no_such_two"), "no_such_one and no_such_two"),
    ],
)
def test_what_is_missing_is_named_with_the_remedy(packages: tuple[str, ...], missing: str) -> None:
    words = rf"^A report needs {missing}: pip install 'lightning_gammabo\[report\]'$"
    with pytest.raises(ModuleNotFoundError, match=words) as caught:
        check_extras("A report", *packages)
    assert caught.value.name == "no_such_one"
