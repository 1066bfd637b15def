"""Each kind of input that once failed, and the test that stands for it.

A kind is more than its one example: the tests named here cover others of the kind beside it.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
KINDS: dict[str, tuple[str, ...]] = {
    "f01 code that looks up callbacks while a candidate trains": (
        "integration/faces/test_callbacks.py::test_a_loss_that_a_callback_weighs",
        "integration/faces/test_callbacks.py::test_the_checkpoint_callback_s_best_score",
        "integration/faces/test_callbacks.py::test_all_that_the_trainer_holds_is_the_user_s_own",
    ),
    "f02 code that looks at its logger": (
        "integration/faces/test_loggers.py::test_a_logger_that_is_looked_for_by_class_and_read",
        "integration/faces/test_loggers.py::test_every_line_of_the_module_s_own_reaches_the_logger_once",
        "integration/faces/test_loggers.py::test_a_summary_that_is_assigned_to_and_a_run_that_was_saved",
    ),
    "f03 a fit that does not begin at epoch 0": (
        "integration/faces/test_late_start.py::test_resumed_from_a_plain_checkpoint",
        "integration/faces/test_late_start.py::test_a_second_fit_of_the_same_trainer",
        "integration/faces/test_late_start.py::test_a_finished_run_goes_on_for_more_epochs",
    ),
    "f04 a candidate whose rate makes user code raise": (
        "integration/faces/test_candidate_raises.py::test_no_candidate_ends_a_run",
        "integration/faces/test_candidate_raises.py::test_a_loss_that_is_finite_but_absurd_has_diverged",
    ),
    "f05 a stateful loader's checkpoint within a searched epoch": (
        "integration/faces/test_resumed_by_step.py::test_a_stateful_loader",
    ),
    "f06 a count in memory that is shared": (
        "integration/faces/test_data_read_once.py::test_a_count_in_shared_memory_is_put_back",
        "integration/faces/test_data_read_once.py::test_batches_are_kept_where_worker_processes_share_a_count",
        "integration/faces/test_data_read_once.py::test_where_they_are_too_many_to_be_kept_it_is_said_once",
    ),
    "f07 a stream that goes on in an open file": (
        "integration/faces/test_data_read_once.py::test_a_file_that_is_read_on",
        "integration/faces/test_data_read_once.py::test_the_position_of_a_file_is_put_back",
    ),
    "f08 a Trainer within a hook": ("integration/faces/test_hidden_state.py::test_a_trainer_within_a_hook",),
    "f09 lazy BatchNorm and candidates of a part of the epoch": (
        "integration/faces/test_hidden_state.py::test_lazy_norms_with_candidates_of_a_part_of_the_epoch",
    ),
    "f10 a rate that is None": ("integration/faces/test_hidden_state.py::test_a_rate_of_none_is_not_searched",),
    "f11 hooks that are registered on tensors": ("integration/faces/test_hidden_state.py::test_hooks_of_tensors",),
    "f12 attributes of scripted modules": (
        "integration/faces/test_hidden_state.py::test_attributes_of_scripted_modules",
    ),
    "f13 joint samples of thousands of points": (
        "unit/bayesopt/test_model.py::test_joint_samples_of_a_thousand_points_are_affordable",
    ),
    "f14 many trials side by side": ("unit/bayesopt/test_belief.py::test_many_pending_trials_are_no_burden",),
    "f15 last bits of weights that a validation writes": (
        "integration/faces/test_hidden_state.py::test_last_bits_that_a_validation_writes",
    ),
    "f16 an iterator that is a thread": ("integration/faces/test_data_read_once.py::test_no_thread_is_left_behind",),
    "f17 a finished run's checkpoint, resumed without the callback": (
        "integration/faces/test_late_start.py::test_a_finished_searched_run_trains_on_without_the_callback",
        "unit/trainer/snapshot/test_checkpoint.py::"
        "test_rates_that_came_down_to_zero_are_stored_as_peaks_and_fetched_as_zeros",
    ),
    "f18 the cost of loaders without a length": (
        "unit/trainer/test_inspection.py::test_validations_within_an_epoch",
        "integration/faces/test_costs_and_names.py::test_validations_of_unknown_size_are_counted_and_held_to_the_cap",
        "integration/faces/test_costs_and_names.py::test_a_resumed_run_knows_the_price",
    ),
    "f19 nothing to rank by": (
        "integration/faces/test_costs_and_names.py::"
        "test_a_validation_with_nothing_to_rank_by_is_not_repeated_for_candidates",
        "integration/faces/test_costs_and_names.py::"
        "test_a_name_that_nothing_logs_is_refused_before_a_candidate_is_trained",
        "integration/faces/test_costs_and_names.py::test_names_that_come_late_are_ranked",
    ),
    "f20 what one candidate means": ("integration/identity/test_policies.py::test_what_one_candidate_means",),
    "f21 a sharded fit": ("integration/sharded/test_sharded.py::test_fsdp2_in_short",),
    "f22 a scheduler that warms up": (
        "integration/schedules/test_warm_up.py::test_a_warm_up_misleads_no_first_search",
        "unit/learning_rate/test_miniature.py::test_a_warm_up_takes_a_quarter_and_the_peak_the_rest",
    ),
    "f23 caps, and runs without an end": (
        "integration/faces/test_costs_and_names.py::test_longer_candidates_are_held_to_the_cap",
        "unit/scheduler/test_epoch_start.py::test_a_plateau_falls_before_early_stopping_ends_the_run",
    ),
    "f24 what wins": (
        "unit/determinant/test_smoothing.py::test_however_bad_the_worst_is_the_centre_stays_with_the_best",
        "unit/test_callback.py::test_any_logged_metric_with_a_direction",
    ),
}


@pytest.mark.parametrize("test", [test for tests in KINDS.values() for test in tests])
def test_each_kind_has_its_test(test: str) -> None:
    path, _, name = test.partition("::")
    tree = ast.parse((TESTS / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_no_kind_is_left_out() -> None:
    assert [kind.split()[0] for kind in KINDS] == [f"f{number:02d}" for number in range(1, 25)]
