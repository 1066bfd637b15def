from __future__ import annotations

from lightning_gammabo.report.table import comparison_table


def test_runs_beside_each_other() -> None:
    table = comparison_table(
        {
            "searched each epoch": {"test accuracy": 0.98765, "passes": 60.0, "found": "2.1e-02"},
            "plain": {"test accuracy": None, "passes": 123456.0},
        }
    )
    assert table.splitlines() == [
        "run                  test accuracy  passes    found",
        "searched each epoch         0.9877      60  2.1e-02",
        "plain                            -  123456        -",
    ]


def test_no_runs_give_the_header_alone() -> None:
    assert comparison_table({}) == "run"
