"""Plans of a run, for the tests of their price and of the cap."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from lightning_gammabo.policy import POLICIES as NAMED
from lightning_gammabo.policy import EpochPlan, SearchPolicy
from lightning_gammabo.records.run import RunShape
from lightning_gammabo.scheduler.run_plan import RunPlan

SHAPE = RunShape(epochs=10, batches=100, val_ratio=0.3)
# like the named ones, whose numbers are tuned and change
FULL = SearchPolicy(
    first_random=4,
    first_model=4,
    stop_below="never",
    first_share="epoch",
    when="every",
    later_candidates=3,
    later_share=1e-6,
    min_steps=10,
    cooling=0.0,
    later_gate="off",
    later_direction="both",
    rule="largest_within_noise",
    n_sigma=1.0,
    later_overhead="unlimited",
)
POLICIES = {
    "epochwise": FULL,
    "adaptive": replace(FULL, when=(0.3, 0.5, 0.7), later_candidates=5, min_steps=20, max_lr_change=27.0),
    "once": replace(FULL, when="first"),
    "thorough": replace(FULL, later_candidates=5, later_share="epoch"),
    "thesis": NAMED["thesis"],
    "default": NAMED["epochwise"],
}


def plan_of(policy: str | SearchPolicy = "epochwise", shape: RunShape = SHAPE, **options: Any) -> RunPlan:
    asked = POLICIES[policy] if isinstance(policy, str) else policy
    cap = options.pop("cap", None)
    return RunPlan(replace(asked, **options), shape, cap=cap)


POLICY = st.sampled_from([*POLICIES.values(), *NAMED.values()])
SHAPES = st.builds(
    RunShape,
    epochs=st.integers(1, 60),
    batches=st.integers(1, 200),
    accumulate=st.integers(1, 3),
    val_ratio=st.floats(0.0, 1.0),
    replays=st.booleans(),
)


def part(share: float) -> EpochPlan:
    return EpochPlan(wide=False, n_initial=3, n_trials=3, factor=1.5, share=share)
