"""What a fit says before it trains: the plan with its price, and which settings cannot act in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from lightning_gammabo.bayesopt import has_surrogate
from lightning_gammabo.policy import POLICIES, EpochPlan, make_policy
from lightning_gammabo.records.words import count
from lightning_gammabo.scheduler.arguments import Cap, SearchArguments
from lightning_gammabo.scheduler.run_plan import RunPlan
from lightning_gammabo.trainer.messages import Messages

__all__ = ["announce", "idle_settings", "plan_in_words"]

_OF_LATER = ("later_candidates", "later_share", "later_gate", "later_direction", "max_lr_change", "n_sigma", "rule")
_OF_PROPOSALS = ("first_random", "first_model", "stop_below", "smooth_first", "max_lr_change")


def announce(plan: RunPlan, given: SearchArguments, messages: Messages, *, epoch: int = 0, searched: int = 0) -> None:
    """Say what is planned, or what is left where a run goes on.

    Args:
        plan: the run's plan.
        given: the callback's arguments.
        messages: tells the user.
        epoch: the epoch at which the fit begins, or goes on.
        searched: epochs that the run, where it goes on, has searched before.
    """
    policy, shape = plan.policy, plan.shape
    if shape.epochs is not None and shape.begin >= shape.epochs:
        messages.inform(f"no epoch is searched: the run ends with epoch {epoch}, in the midst of which it goes on")
    elif searched:
        messages.inform(_rest(plan, epoch, searched))
    elif plan.search_epochs == [] and plan.least is None:
        messages.warn(
            f"no epoch is searched: start_epoch={policy.start_epoch}, stop_epoch={policy.stop_epoch!r}, and the "
            f"epochs of the fit are {shape.begin} to {(shape.epochs or 0) - 1}"
        )
    else:
        messages.inform(plan_in_words(plan, given))
        idle = idle_settings(plan, given)
        if idle:
            messages.inform(f"without effect in this run: {idle}")


def _rest(plan: RunPlan, epoch: int, searched: int) -> str:
    done = f"the run goes on at epoch {epoch}, after {count(searched, 'searched epoch')}"
    if plan.search_epochs is None:
        return f"{done}; how many more will be searched is not known"
    left = [one for one in plan.search_epochs if one >= epoch]
    return f"{done}; {f'{len(left)} more will be, from epoch {left[0]} on' if left else 'no other search is planned'}"


def plan_in_words(plan: RunPlan, given: SearchArguments) -> str:
    """The plan with its cost, as a sentence or two.

    Args:
        plan: the run's plan.
        given: the callback's arguments.

    Returns:
        The words.
    """
    if plan.least is not None:
        return (
            f"max_overhead={given.max_overhead!r} affords no second candidate (the smallest search costs "
            f"{plan.least:.1g}): nothing is searched, the fit is a plain one"
        )
    cap = Cap.parse(given.max_overhead)
    asked = make_policy(given.policy)
    capped = f", reduced to fit max_overhead={given.max_overhead!r}" * (plan.policy != asked)
    text = f"policy {asked.name!r}{capped}: {_candidates(plan, plan.epoch_plan(first=True))}"
    later = plan.later_plans
    if later:
        gated = ", rivals only where the present rate has stopped improving" * (plan.policy.later_gate != "off")
        text += f", then {len(later)} search{'es' * (len(later) > 1)} of {_candidates(plan, later[0])}{gated}"
    text += f". {_cost(plan)}"
    if cap.unit == "seconds":
        text += f" max_overhead={given.max_overhead!r} ends a search that would take longer."
    return text


def _cost(plan: RunPlan) -> str:
    epochs, planned = plan.shape.epochs_left, plan.planned
    if not epochs or planned is None:
        return "The run's length is not known, so neither is the cost."
    wide, near = plan.trained(plan.epoch_plan(first=True)), sum(map(plan.trained, plan.later_plans))
    shares = f"first search {wide / epochs:.2f}" + f", later searches {near / epochs:.2f}" * (near > 0.0)
    if plan.shape.val_ratio is not None:
        shares += f", validation {(planned - wide - near) / epochs:.2f}"
    else:
        shares += ", validations not counted, since the number of samples is not known yet"
    most = f"{1.0 + min(planned, plan.allowed) / epochs:.2f}x"
    usual = "" if plan.usual is None else f"{1.0 + plan.usual / epochs:.2f}x"
    usually = f"usually {usual}, " if usual and usual != most else ""
    late = plan.ceiling or 0.0  # within the cap, too
    longer = f" Where learning begins late, candidates are made longer: at most {1.0 + late / epochs:.2f}x."
    return f"Estimated cost: {usually}at most {most} a plain fit ({shares}).{longer * (late > planned + 0.005)}"


def _candidates(plan: RunPlan, search: EpochPlan) -> str:
    where = "over the whole range" if search.factor is None else f"within x{search.factor:.2f} of the present rate"
    where = where if plan.n_listed is None else "(the present rate and the list)"
    share = f"{search.share:.0%} of an epoch each" if search.share < 1.0 else "whole epochs"
    most = "up to " if search.factor is None and plan.may_stop and search.n_trials > 3 else ""
    return f"{most}{search.n_trials} candidate{'s' * (search.n_trials != 1)} {where}, {share}"


def idle_settings(plan: RunPlan, given: SearchArguments) -> str:
    """Which settings that the user has given cannot act in this run.

    Args:
        plan: the run's plan.
        given: the callback's arguments.

    Returns:
        Their names with the reasons, in words; empty where there are none.
    """
    asked = make_policy(given.policy)
    base = POLICIES[asked.base]
    left = {field.name for field in fields(asked) if getattr(asked, field.name) != getattr(base, field.name)}
    left |= {name for name in ("min_lr", "max_lr") if getattr(given, name) is not None}
    reasons = []
    for names, why in _idle(plan, given):
        found = [name for name in names if name in left]
        left -= set(found)
        reasons += [f"{', '.join(found)} ({why})"] if found else []
    return "; ".join(reasons)


def _idle(plan: RunPlan, given: SearchArguments) -> Iterator[tuple[tuple[str, ...], str]]:
    # fields, and why they cannot act
    policy, searched = plan.policy, plan.search_epochs
    if plan.n_listed is not None:
        yield (*_OF_PROPOSALS, "min_lr", "max_lr"), "the rates are a list"
    elif has_surrogate(given.sampler) is False:
        yield ("stop_below",), f"sampler={given.sampler!r} has no surrogate that knows when to stop"
    if searched is not None and len(searched) < 2:
        yield _OF_LATER, "this run has no later search"
        if not isinstance(policy.when, str):
            yield ("when",), "this run is too short for a later search"
    if policy.when != "every":
        yield ("every_n_epochs", "later_overhead"), "they count where when='every'"
    if policy.first_share == "epoch" and (policy.later_share == "epoch" or len(searched or ()) == 1):
        yield ("min_steps", "cooling"), "candidates train whole epochs"
    if policy.later_direction == "down" and policy.max_lr_change != "unbounded":
        yield ("max_lr_change",), "later searches go down by halves"
    if policy.rule == "best":
        yield ("n_sigma",), "rule='best' knows no ties"
