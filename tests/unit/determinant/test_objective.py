"""What a candidate is ranked by, with numbers by hand."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError

import pytest

from lightning_gammabo.determinant.kappa import LOSS_FLOOR, Kappa, kappa, kappa_original
from lightning_gammabo.determinant.objective import (
    LOSS_CAP,
    CustomObjective,
    Objective,
    Score,
    ValidationMetrics,
    as_fraction,
)

NAN, INF = math.nan, math.inf


def measured(loss: float | None = None, accuracy: float | None = None, **metrics: float) -> ValidationMetrics:
    return ValidationMetrics(loss=loss, accuracy=accuracy, metrics=metrics)


def score(objective: Objective, loss: float | None = None, accuracy: float | None = None) -> float | None:
    return objective.score(measured(loss, accuracy)).ranked


# ---- eqs. 11 and 12


# ---- scores


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("kappa", 0.7**2 - math.log(0.4) / 0.5),
        ("kappa_original", 0.7 - 0.5 * math.log(0.4)),
        ("kappa_thesis", 0.7**2 - math.log(0.4) / 0.5),
        ("loss", -0.4),
        ("accuracy", 0.7),
    ],
)
def test_every_name_has_its_formula(name: str, expected: float) -> None:
    kappas = ("kappa", "kappa_original", "kappa_thesis")
    score = Objective(Kappa(0.5, name) if name in kappas else name).score(measured(0.4, 0.7))  # type: ignore[arg-type]
    assert score.ranked == expected
    assert score.reported == (0.4 if name == "loss" else expected)  # a loss is shown under its own sign
    assert score.accuracy == 0.7


@pytest.mark.parametrize(("mode", "expected"), [("max", 3.5), ("min", -3.5)])
def test_a_metric_has_a_direction(mode: str, expected: float) -> None:
    objective = Objective("val_f1", mode=mode)
    assert (objective.metric, objective.is_kappa, objective.uses_reference) == ("val_f1", False, False)
    score = objective.score(measured(1.0, 0.5, val_f1=3.5))
    assert (score.ranked, score.reported) == (expected, 3.5)  # shown under its own sign


def test_kappa_without_a_reference_is_what_one_starts_with() -> None:
    objective = Objective()
    assert (objective.name, objective.is_kappa, objective.mode) == ("kappa", True, "max")
    assert objective.reference_loss is None


def test_a_metric_that_looks_like_kappa_is_a_metric() -> None:
    objective = Objective("kappa_cohen", mode="max")
    assert (objective.metric, objective.is_kappa) == ("kappa_cohen", False)


@pytest.mark.parametrize("name", ["kappa", "kappa_original"])
def test_the_loss_is_measured_against_the_untrained_network(name: str) -> None:
    objective = Objective(name)
    objective.reference_loss = math.log(10.0)
    formula = {"kappa": kappa, "kappa_original": kappa_original}[name]
    assert score(objective, 1.5, 0.4) == formula(0.4, 1.5 / math.log(10.0))
    assert score(objective, math.log(10.0), 0.1) == formula(0.1, 1.0)


def test_a_loss_far_above_the_reference_is_capped() -> None:
    objective = Objective("kappa")
    objective.reference_loss = 2.0
    assert LOSS_CAP == 3.0
    assert score(objective, 6.0, 0.1) == score(objective, 1e30, 0.1) == pytest.approx(0.01 - math.log(3.0))
    assert score(objective, 5.9, 0.1) > score(objective, 6.0, 0.1)  # type: ignore[operator]


@pytest.mark.parametrize("reference", [None, 0.0])
def test_without_a_reference_the_loss_is_taken_as_it_is(reference: float | None) -> None:
    objective = Objective("kappa")
    objective.reference_loss = reference
    assert score(objective, 100.0, 0.1) == kappa(0.1, 100.0)


def test_the_thesis_clips_and_knows_no_reference() -> None:
    objective = Objective("kappa_thesis")
    objective.reference_loss = 2.3
    assert not objective.uses_reference
    assert score(objective, 0.5, 0.9) == pytest.approx(0.81 + math.log(2.0))
    # every early epoch of a ten-class problem: all tie
    assert score(objective, 2.0, 0.3) == score(objective, 20.0, 0.1) == 0.0


@pytest.mark.parametrize("name", ["kappa", "kappa_original"])
def test_a_kappa_is_reported_of_the_loss_itself_and_ranked_against_the_reference(name: str) -> None:
    objective = Objective(name)
    objective.reference_loss = 2.3
    formula = {"kappa": kappa, "kappa_original": kappa_original}[name]
    bad, worse, good = (objective.score(measured(*pair)) for pair in ((3.0, 0.2), (4.0, 0.1), (0.5, 0.9)))
    assert (bad.reported, worse.reported, good.reported) == (formula(0.2, 3.0), formula(0.1, 4.0), formula(0.9, 0.5))
    assert worse.reported is not None
    assert worse.reported < 0.0  # losses above 1 are told apart
    assert bad.ranked is not None
    assert worse.ranked is not None
    assert bad.ranked > worse.ranked
    assert good.ranked != good.reported


def test_the_thesis_kappa_is_reported_as_it_is_clipped() -> None:
    assert Objective("kappa_thesis").score(measured(3.0, 0.2)) == Score(ranked=0.0, reported=0.0, accuracy=0.2)


@pytest.mark.parametrize("name", ["kappa", "kappa_original", "kappa_thesis"])
def test_kappa_without_accuracy_is_the_loss_and_shown_as_one(name: str) -> None:
    assert Objective(name).score(measured(0.4)) == Score(ranked=-0.4, reported=0.4, accuracy=None)


@pytest.mark.parametrize("name", ["kappa", "kappa_original", "kappa_thesis"])
def test_kappa_without_loss_is_the_accuracy(name: str) -> None:
    assert Objective(name).score(measured(None, 0.4)) == Score(ranked=0.4, reported=0.4, accuracy=0.4)


@pytest.mark.parametrize("loss", [-0.5, 0.0])
def test_losses_that_are_not_above_zero_have_a_score(loss: float) -> None:
    assert score(Objective("loss"), loss) == -loss
    assert score(Objective("kappa"), loss, 0.5) == kappa(0.5, LOSS_FLOOR)
    assert score(Objective("kappa"), loss) == -loss


# ---- what diverged


@pytest.mark.parametrize("name", ["kappa", "kappa_original", "kappa_thesis", "loss", "accuracy", "val_f1"])
@pytest.mark.parametrize("loss", [NAN, INF, -INF])
def test_a_loss_that_is_not_finite_has_no_score(name: str, loss: float) -> None:
    score = Objective(name).score(measured(loss, 0.9, val_f1=1.0))
    assert score.ranked is None
    assert score.reported is None


@pytest.mark.parametrize("name", ["kappa", "kappa_original", "kappa_thesis", "accuracy"])
@pytest.mark.parametrize("accuracy", [NAN, INF, -INF])
def test_an_accuracy_that_is_not_finite_has_no_score(name: str, accuracy: float) -> None:
    score = Objective(name).score(measured(0.5, accuracy))
    assert (score.ranked, score.reported) == (None, None)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_a_metric_that_is_not_finite_has_no_score(value: float) -> None:
    assert Objective("val_f1").score(measured(0.5, 0.5, val_f1=value)).ranked is None
    assert Objective("val_f1", mode="min").score(measured(0.5, 0.5, val_f1=value)).ranked is None


# ---- per cent


def test_accuracies_in_per_cent_are_fractions() -> None:
    assert (as_fraction(50.0), as_fraction(1.0), as_fraction(0.0), as_fraction(None)) == (0.5, 1.0, 0.0, None)
    assert as_fraction(NAN) is not None
    assert math.isnan(as_fraction(NAN))  # type: ignore[arg-type]
    per_cent, fraction = Objective("kappa"), Objective("kappa")
    assert per_cent.score(measured(0.5, 87.5)) == fraction.score(measured(0.5, 0.875))


def test_a_mean_of_ones_with_a_rounding_is_no_per_cent() -> None:
    objective = Objective("accuracy")
    assert score(objective, None, 1.0000001) == 1.0000001
    assert not objective.percent


def test_once_per_cent_always_per_cent() -> None:
    objective = Objective("accuracy")
    good, collapsed = score(objective, None, 45.0), score(objective, None, 1.0)  # 1 of 100 classes
    assert (good, collapsed) == (0.45, 0.01)
    assert objective.score(measured(None, 0.5)).accuracy == 0.005


def test_an_infinite_accuracy_says_nothing_of_its_unit() -> None:
    objective = Objective("accuracy")
    assert score(objective, None, INF) is None
    assert score(objective, None, 0.5) == 0.5


# ---- what is lacking


@pytest.mark.parametrize(
    ("name", "given", "lacking"),
    [
        ("kappa", measured(), "loss or accuracy"),
        ("kappa", measured(1.0), None),
        ("kappa", measured(None, 0.5), None),
        ("kappa_thesis", measured(NAN), None),
        ("loss", measured(None, 0.5), "loss"),
        ("loss", measured(1.0), None),
        ("accuracy", measured(1.0), "accuracy"),
        ("accuracy", measured(None, NAN), None),
        ("val_f1", measured(1.0, 0.5), "val_f1"),
        ("val_f1", measured(val_f1=NAN), None),
    ],
)
def test_what_is_missing_is_told_from_what_is_not_finite(
    name: str, given: ValidationMetrics, lacking: str | None
) -> None:
    objective = Objective(name)
    assert objective.lacks(given) == lacking
    if lacking is not None:
        assert objective.score(given).ranked is None
        assert Objective(name, mode="min" if name == "val_f1" else None).score(given).ranked is None


# ---- arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": ""}, r"objective='': name one of \['kappa', .*'accuracy'\] or a logged metric"),
        ({"mode": "upwards"}, r"mode='upwards': the direction of a metric is 'min' or 'max'"),
    ],
)
def test_an_argument_out_of_its_domain_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Objective(**arguments)  # type: ignore[arg-type]


def test_values_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError, match="loss"):
        measured(1.0).loss = 2.0  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError, match="ranked"):
        Objective().score(measured(1.0)).ranked = 2.0  # type: ignore[misc]


# ---- an objective of one's own


class Weighted(CustomObjective):
    def __init__(self, weight: float = 0.5) -> None:
        self.weight = weight

    def score(self, given: ValidationMetrics) -> float:
        return given.metrics["val_f1"] - self.weight * (given.loss or 0.0)


def test_ones_own_objective_ranks() -> None:
    objective = Objective(Weighted(0.25))
    assert objective.name == "Weighted"
    assert (objective.metric, objective.is_kappa, objective.uses_reference) == (None, False, False)
    found = objective.score(measured(2.0, 90.0, val_f1=1.0))
    assert found == Score(ranked=0.5, reported=0.5, accuracy=0.9)
    assert objective.lacks(measured()) is None


def test_ones_own_objective_sees_a_fraction() -> None:
    class Accuracy(CustomObjective):
        name = "mine"

        def score(self, given: ValidationMetrics) -> float:
            assert given.accuracy is not None
            return given.accuracy

    objective = Objective(Accuracy())
    assert objective.name == "mine"
    assert objective.score(measured(1.0, 87.5)).ranked == 0.875


@pytest.mark.parametrize("given", [measured(math.inf, val_f1=1.0), measured(1.0, val_f1=NAN)])
def test_what_is_not_finite_diverged_for_ones_own_too(given: ValidationMetrics) -> None:
    assert Objective(Weighted()).score(given).ranked is None


def test_a_name_of_a_class_is_no_built_in_objective() -> None:
    class kappa(Weighted): ...

    objective = Objective(kappa())
    assert (objective.is_kappa, objective.uses_reference) == (False, False)
    assert objective.score(measured(0.0, 0.5, val_f1=0.25)).ranked == 0.25


def test_a_metric_that_was_not_logged_is_named() -> None:
    message = r"GammaLRSearch\(objective=Weighted\): its score\(\) looks for 'val_f1', .*logged are \['val_f2'\]"
    with pytest.raises(ValueError, match=message):
        Objective(Weighted()).score(measured(1.0, val_f2=1.0))
