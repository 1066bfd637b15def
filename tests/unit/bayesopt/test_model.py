"""GammaPrecisionGP after BoTorch's documented contract for models, and against explicit inverses."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from botorch.acquisition.knowledge_gradient import qKnowledgeGradient
from botorch.acquisition.logei import qLogExpectedImprovement, qLogNoisyExpectedImprovement
from botorch.acquisition.objective import ExpectationPosteriorTransform, ScalarizedPosteriorTransform
from botorch.exceptions.errors import BotorchTensorDimensionError, InputDataError, UnsupportedError
from botorch.models.transforms.input import Normalize
from botorch.models.transforms.outcome import Log, Standardize
from botorch.optim.optimize import optimize_acqf
from botorch.posteriors.transformed import TransformedPosterior
from botorch.sampling.normal import SobolQMCNormalSampler
from torch import Tensor

from lightning_gammabo.bayesopt import GammaPrecisionGP, HyperNodes, LogStudentTExpectedImprovement, StudentTPosterior
from tests.unit.bayesopt import reference

HOW = ["average", "maximise"]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of optimisers that met a flat acquisition
        torch.manual_seed(0)
        yield


def data(*batch: int, n: int = 6, d: int = 2, m: int = 1, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    X = torch.rand(*batch, n, d, dtype=torch.float64)
    Y = torch.stack([torch.sin(4.0 * X.sum(-1) + j) + 0.1 * j for j in range(m)], dim=-1)
    return X.to(dtype), Y.to(dtype)


def nodes(d: int = 2, k: int = 3) -> HyperNodes:
    lengthscales = torch.linspace(0.2, 0.8, k).double().unsqueeze(-1).expand(k, d)
    noise = torch.logspace(-4, -1, k).double().unsqueeze(-1)
    return HyperNodes(lengthscales, noise, torch.linspace(-1.0, 0.0, k).double().unsqueeze(-1))


def student_t(posterior: Any) -> StudentTPosterior:
    assert isinstance(posterior, StudentTPosterior)
    return posterior


def test_posterior_is_the_formula() -> None:
    X, Y = data(d=2)
    U = torch.rand(4, 2, dtype=torch.float64)
    hyper = nodes()
    model = GammaPrecisionGP(X, Y, hyperparameters=hyper, precision_prior=(1.7, 0.6), outcome_transform=None)
    p = student_t(model.posterior(U))
    log_w = []
    for k in range(3):
        lengthscale, rho = hyper.lengthscales[k, 0].item(), hyper.noise_ratios[k, 0].item()
        df, loc, shape, marginal = reference.process_by_formula(
            X.numpy(), Y.squeeze(-1).numpy(), U.numpy(), lengthscale, rho, 1.0, 1.7, 0.6
        )
        log_w.append(marginal + hyper.log_prior[k, 0].item())
        assert p.df == df
        np.testing.assert_allclose(p.component_loc[k, :, 0], loc, atol=1e-8)
        np.testing.assert_allclose(p.component_scale[k, :, 0] ** 2, np.diag(shape), atol=1e-8)
        assert callable(p._shape_matrix)
        np.testing.assert_allclose(p._shape_matrix(torch.tensor([k]))[0, 0], shape, atol=1e-8)
    want = np.exp(np.array(log_w) - max(log_w))
    np.testing.assert_allclose(model.node_weights.squeeze(-1), want / want.sum(), rtol=1e-7)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("m", [1, 2])
@pytest.mark.parametrize("batch", [(), (2,), (3, 2)])
def test_shapes_types_and_batches(batch: tuple[int, ...], m: int, dtype: torch.dtype, how: Any) -> None:
    X, Y = data(*batch, m=m, dtype=dtype)
    model = GammaPrecisionGP(X, Y, hyperparameters=how)
    assert (model.batch_shape, model.num_outputs) == (batch, m)
    for shape in ((3,), (*batch, 3), (5, *([1] * len(batch)), 3)):
        test_X = torch.rand(*shape, 2, dtype=dtype)
        p = model.posterior(test_X)
        want = torch.broadcast_shapes(test_X.shape[:-2], torch.Size(batch)) + torch.Size([3, m])
        assert (p.mean.shape, p.variance.shape, p.mean.dtype) == (want, want, dtype)
        assert (p.variance > 0.0).all()
        samples = p.rsample(torch.Size([4]))
        assert (samples.shape, samples.dtype) == (torch.Size([4]) + want, dtype)
        noisy = model.posterior(test_X, observation_noise=True)
        assert (noisy.variance > p.variance).all()


def test_a_batch_is_its_parts() -> None:
    X, Y = data(3, m=2)
    test_X = torch.rand(3, 2, 2, dtype=torch.float64)
    whole = GammaPrecisionGP(X, Y, hyperparameters=nodes())
    for b in range(3):
        part = GammaPrecisionGP(X[b], Y[b], hyperparameters=nodes())
        mine, theirs = whole.posterior(test_X), part.posterior(test_X[b])
        torch.testing.assert_close(mine.mean[b], theirs.mean)
        torch.testing.assert_close(mine.variance[b], theirs.variance)


@pytest.mark.parametrize("how", HOW)
def test_single_precision_is_computed_in_double(how: Any) -> None:
    X, Y = data(n=12)
    single = GammaPrecisionGP(X.float(), Y.float(), hyperparameters=how)
    double = GammaPrecisionGP(X.float().double(), Y.float().double(), hyperparameters=how)
    test_X = torch.rand(3, 2)
    torch.testing.assert_close(
        single.posterior(test_X).mean, double.posterior(test_X.double()).mean.float(), atol=1e-4, rtol=1e-3
    )


@pytest.mark.parametrize("how", HOW)
def test_gradients_through_posterior_and_samples(how: Any) -> None:
    X, Y = data(n=4)
    model = GammaPrecisionGP(X, Y, hyperparameters=how)
    base = torch.randn(3, 4, 1, dtype=torch.float64)
    test_X = torch.rand(2, 2, dtype=torch.float64, requires_grad=True)

    def outputs(test_X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        p = student_t(model.posterior(test_X))
        return p.mean, p.variance, p.rsample_from_base_samples(torch.Size([3]), base)

    assert torch.autograd.gradcheck(outputs, (test_X,), atol=1e-4)
    at_data = X[:1].clone().requires_grad_()  # at an observation the variance is smallest and its root steepest
    model.posterior(at_data).variance.sqrt().sum().backward()
    assert at_data.grad is not None
    assert torch.isfinite(at_data.grad).all()


@pytest.mark.parametrize("m", [1, 2])
@pytest.mark.parametrize("batch", [(), (2,)])
def test_conditioning_is_refitting(batch: tuple[int, ...], m: int) -> None:
    X, Y = data(*batch, n=7, m=m)
    grown = GammaPrecisionGP(X[..., :4, :], Y[..., :4, :], hyperparameters=nodes(), outcome_transform=None)
    grown = grown.condition_on_observations(X[..., 4:, :], Y[..., 4:, :])
    whole = GammaPrecisionGP(X, Y, hyperparameters=nodes(), outcome_transform=None)
    test_X = torch.rand(*batch, 3, 2, dtype=torch.float64)
    p, q = student_t(grown.posterior(test_X)), student_t(whole.posterior(test_X))
    assert p.df == q.df == 10.0
    torch.testing.assert_close(p.mean, q.mean)
    torch.testing.assert_close(p.variance, q.variance)
    torch.testing.assert_close(grown.node_weights, whole.node_weights)


def test_averaging_over_one_input_does_not_depend_on_the_order_of_data() -> None:
    X, Y = data(n=6, d=1)
    grown = GammaPrecisionGP(X[:2], Y[:2], outcome_transform=None).condition_on_observations(X[2:], Y[2:])
    whole = GammaPrecisionGP(X, Y, outcome_transform=None)
    test_X = torch.rand(5, 1, dtype=torch.float64)
    torch.testing.assert_close(grown.posterior(test_X).variance, whole.posterior(test_X).variance)


def test_conditioning_keeps_the_outcome_transform() -> None:
    X, Y = data(n=6)
    model = GammaPrecisionGP(X[:4], 5.0 + 3.0 * Y[:4], hyperparameters=nodes(), input_transform=Normalize(2))
    grown = model.condition_on_observations(X[4:], 5.0 + 3.0 * Y[4:])
    torch.testing.assert_close(grown.outcome_transform.means, model.outcome_transform.means)
    mean = grown.posterior(X).mean
    assert ((mean - 5.0 - 3.0 * Y).abs().max() < 0.5).item()
    assert len(grown.train_inputs[0]) == 6
    assert len(model.train_inputs[0]) == 4


@pytest.mark.parametrize("m", [1, 2])
def test_fantasies(m: int) -> None:
    X, Y = data(m=m)
    model = GammaPrecisionGP(X, Y)
    new_X = torch.rand(3, 2, 2, dtype=torch.float64)
    fantasy = model.fantasize(new_X, SobolQMCNormalSampler(torch.Size([5]), seed=0))
    assert fantasy.batch_shape == (5, 3)
    p = fantasy.posterior(torch.rand(4, 2, dtype=torch.float64))
    assert p.mean.shape == (5, 3, 4, m)
    assert p.rsample(torch.Size([2])).shape == (2, 5, 3, 4, m)
    assert student_t(p).df == 2 * 1.5 + 8
    nothing = model.fantasize(new_X[..., :0, :], SobolQMCNormalSampler(torch.Size([5]), seed=0))
    assert nothing.batch_shape == (5, 3)
    torch.testing.assert_close(nothing.posterior(X).mean[0, 0], model.posterior(X).mean)


def test_fantasies_average_to_what_is_believed() -> None:
    X, Y = data(n=5, d=1)
    model = GammaPrecisionGP(X, Y)
    new_X, test_X = torch.tensor([[0.2]], dtype=torch.float64), torch.tensor([[0.6]], dtype=torch.float64)
    fantasy = model.fantasize(new_X, SobolQMCNormalSampler(torch.Size([4096]), seed=0))
    # the law of total expectation, over 4,096 quasi-random fantasies
    torch.testing.assert_close(
        fantasy.posterior(test_X).mean.mean(0), model.posterior(test_X).mean, atol=5e-3, rtol=0.0
    )


def test_outputs_can_be_chosen() -> None:
    X, Y = data(m=3)
    model = GammaPrecisionGP(X, Y)
    test_X = torch.rand(2, 2, dtype=torch.float64)
    everything = model.posterior(test_X)
    for some in ([1], [2, 0], [-1]):
        subset = model.subset_output(some)
        assert subset.num_outputs == len(some)
        torch.testing.assert_close(subset.posterior(test_X).mean, everything.mean[..., some], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(model.posterior(test_X, output_indices=some).mean, subset.posterior(test_X).mean)
    with pytest.raises(IndexError, match="the outputs are 0 to 2"):
        model.subset_output([3])


def test_standardising_is_exact_and_stays_student_t() -> None:
    X, Y = data()
    test_X = torch.rand(3, 2, dtype=torch.float64)
    raw = GammaPrecisionGP(X, 10.0 + 4.0 * Y, hyperparameters=nodes())
    mean, sd = (10.0 + 4.0 * Y).mean(), (10.0 + 4.0 * Y).std()
    by_hand = GammaPrecisionGP(X, (10.0 + 4.0 * Y - mean) / sd, hyperparameters=nodes(), outcome_transform=None)
    p, q = student_t(raw.posterior(test_X)), student_t(by_hand.posterior(test_X))
    torch.testing.assert_close(p.mean, mean + sd * q.mean)
    torch.testing.assert_close(p.variance, sd**2 * q.variance)
    torch.manual_seed(3)
    first = p.rsample(torch.Size([2]))
    torch.manual_seed(3)
    torch.testing.assert_close(first, mean + sd * q.rsample(torch.Size([2])))


def test_other_outcome_transforms_go_through_samples() -> None:
    X, Y = data()
    model = GammaPrecisionGP(X, Y.exp(), outcome_transform=Log())
    p = model.posterior(X)
    assert isinstance(p, TransformedPosterior)
    assert (p.rsample(torch.Size([8])) > 0.0).all()


def test_inputs_are_transformed() -> None:
    X, Y = data()
    test_X = torch.rand(3, 2, dtype=torch.float64)
    plain = GammaPrecisionGP(X, Y, hyperparameters=nodes())
    bounds = torch.tensor([[0.0, 0.0], [100.0, 1e-3]], dtype=torch.float64)
    scaled = GammaPrecisionGP(X * bounds[1], Y, hyperparameters=nodes(), input_transform=Normalize(2, bounds=bounds))
    torch.testing.assert_close(plain.posterior(test_X).mean, scaled.posterior(test_X * bounds[1]).mean)
    for mode in (True, False):
        scaled.train(mode)
        torch.testing.assert_close(plain.posterior(test_X).mean, scaled.posterior(test_X * bounds[1]).mean)


def test_posterior_transforms() -> None:
    X, Y = data(m=2)
    test_X = torch.rand(3, 2, 2, dtype=torch.float64)
    model = GammaPrecisionGP(X, Y)
    weights = torch.tensor([0.3, 0.7], dtype=torch.float64)
    with pytest.raises(UnsupportedError, match=r"is no Student-t: give .* objective=LinearMCObjective"):
        model.posterior(test_X, posterior_transform=ScalarizedPosteriorTransform(weights))
    single = model.subset_output([0])
    p = single.posterior(test_X, posterior_transform=ScalarizedPosteriorTransform(-weights[:1]))
    student_t(p)
    torch.testing.assert_close(p.mean, -0.3 * single.posterior(test_X).mean)
    with pytest.raises(AttributeError):  # it is written for BoTorch's Gaussian posterior; ours has no `distribution`
        single.posterior(test_X, posterior_transform=ExpectationPosteriorTransform(2))


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("d", [1, 3])
def test_a_rough_direction_is_found_and_nothing_is_degenerate(d: int, how: Any) -> None:
    torch.manual_seed(2)
    X = torch.rand(14, d, dtype=torch.float64)
    Y = torch.sin(9.0 * X[:, :1])
    model = GammaPrecisionGP(X, Y, hyperparameters=how)
    assert (model.posterior(X).mean - Y).abs().max() < 0.25
    if d > 1:
        assert (model.lengthscales[..., 0] < model.lengthscales[..., 1:].amin(dim=-1)).all()


@pytest.mark.parametrize(
    ("X", "Y"),
    [
        ([[0.5]], [[1.0]]),
        ([[0.5], [0.5], [0.5]], [[1.0], [1.0], [1.0]]),
        ([[0.5], [0.5]], [[-1.0], [1.0]]),
        ([[0.2], [0.4], [0.9]], [[0.0], [0.0], [0.0]]),
    ],
)
def test_degenerate_data_still_give_a_law(X: list[list[float]], Y: list[list[float]]) -> None:
    model = GammaPrecisionGP(torch.tensor(X, dtype=torch.float64), torch.tensor(Y, dtype=torch.float64))
    p = model.posterior(torch.tensor([[0.5], [0.5], [0.7]], dtype=torch.float64))
    assert torch.isfinite(p.mean).all()
    assert (p.variance > 0.0).all()
    assert torch.isfinite(p.rsample(torch.Size([5]))).all()


@pytest.mark.parametrize("how", HOW)
def test_botorchs_acquisitions_and_optimiser_run_unchanged(how: Any) -> None:
    X, Y = data(n=5)
    model = GammaPrecisionGP(X, Y, hyperparameters=how)
    bounds = torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    sampler = SobolQMCNormalSampler(torch.Size([32]), seed=0)
    acquisitions = [
        qLogExpectedImprovement(model, Y.max(), sampler=sampler),
        qLogExpectedImprovement(model, Y.max(), sampler=sampler, X_pending=torch.rand(2, 2).double()),
        qLogNoisyExpectedImprovement(model, X, sampler=sampler),
        qLogNoisyExpectedImprovement(model, X, sampler=sampler, X_pending=torch.rand(1, 2).double()),
        qKnowledgeGradient(model, num_fantasies=2),
    ]
    for acquisition in acquisitions:
        candidates, value = optimize_acqf(
            acquisition, bounds, q=2, num_restarts=1, raw_samples=8, options={"maxiter": 4}
        )
        assert candidates.shape == (2, 2)
        assert torch.isfinite(value)
        assert ((candidates >= 0.0) & (candidates <= 1.0)).all()


def test_monte_carlo_ei_is_the_closed_form() -> None:
    X, Y = data(n=5)
    model = GammaPrecisionGP(X, Y)
    test_X = torch.rand(6, 1, 2, dtype=torch.float64)
    exact = LogStudentTExpectedImprovement(model, Y.max())(test_X)
    sampled = qLogExpectedImprovement(
        model, Y.max(), sampler=SobolQMCNormalSampler(torch.Size([2**14]), seed=0), tau_relu=1e-6, tau_max=1e-6
    )(test_X)
    seen = exact > -6.0  # of 16,384 draws enough improve on the best
    assert seen.sum() >= 3
    torch.testing.assert_close(sampled[seen], exact[seen], atol=0.05, rtol=0.0)


def test_state_and_copies() -> None:
    X, Y = data()
    model, other = GammaPrecisionGP(X, Y), GammaPrecisionGP(X.flip(0) * 0.9, Y + 1.0)
    test_X = torch.rand(3, 2, dtype=torch.float64)
    assert not torch.allclose(model.posterior(test_X).mean, other.posterior(test_X).mean)
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(model.posterior(test_X).mean, other.posterior(test_X).mean)
    torch.testing.assert_close(copy.deepcopy(model).posterior(test_X).mean, model.posterior(test_X).mean)


def test_a_tight_prior_of_the_precision_gives_a_gaussian_process() -> None:
    X, Y = data()
    model = GammaPrecisionGP(X, Y, hyperparameters=nodes(k=1), precision_prior=(1e6, 1e6), outcome_transform=None)
    K = reference.matern52(X.numpy(), X.numpy(), 0.2) + 1.0 + 1e-4 * np.eye(6)
    test_X = torch.rand(3, 2, dtype=torch.float64)
    k = reference.matern52(X.numpy(), test_X.numpy(), 0.2) + 1.0
    np.testing.assert_allclose(
        model.posterior(test_X).variance.squeeze(), 2.0 - np.diag(k.T @ np.linalg.solve(K, k)), rtol=1e-4
    )


def test_what_does_not_fit_is_refused() -> None:
    X, Y = data()
    with pytest.raises(BotorchTensorDimensionError, match="explicit output dimension"):
        GammaPrecisionGP(X, Y.squeeze(-1))
    with pytest.raises(BotorchTensorDimensionError, match="n >= 1"):
        GammaPrecisionGP(X[:0], Y[:0])
    with pytest.raises(BotorchTensorDimensionError, match="explicit output dimension"):
        GammaPrecisionGP(X, Y[:-1])
    with pytest.raises(InputDataError, match="one data type"):
        GammaPrecisionGP(X, Y.float())
    with pytest.raises(InputDataError, match="not finite"):
        GammaPrecisionGP(X, Y * math.nan)
    with pytest.raises(ValueError, match="the kernels are matern52, rbf"):
        GammaPrecisionGP(X, Y, kernel="linear")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'average', 'maximise' or HyperNodes"):
        GammaPrecisionGP(X, Y, hyperparameters="sample")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="two positive numbers, or inf twice"):
        GammaPrecisionGP(X, Y, precision_prior=(0.0, 1.0))
    with pytest.raises(ValueError, match="a share between 0 and 1"):
        GammaPrecisionGP(X, Y, prune=1.5)
    with pytest.raises(ValueError, match="HyperNodes needs"):
        HyperNodes(torch.ones(3, 2), torch.ones(2, 1), torch.ones(3, 1))
    with pytest.raises(ValueError, match="are positive"):
        HyperNodes(torch.zeros(3, 2), torch.ones(3, 4), torch.ones(3, 4))
    model = GammaPrecisionGP(X, Y)
    with pytest.raises(UnsupportedError, match="True or False"):
        model.posterior(X, observation_noise=torch.ones(1))
    with pytest.raises(UnsupportedError, match="cannot condition with"):
        model.condition_on_observations(X, Y, noise=Y)
    with pytest.raises(UnsupportedError, match="observation_noise=None"):
        model.fantasize(X, SobolQMCNormalSampler(torch.Size([2])), observation_noise=Y)
    with pytest.raises(BotorchTensorDimensionError, match="need X b x n x 2 and Y b x n x 1"):
        model.condition_on_observations(X[..., :1], Y)


def test_the_default_transform_is_botorchs_standardize() -> None:
    X, Y = data()
    assert isinstance(GammaPrecisionGP(X, Y).outcome_transform, Standardize)


def test_a_known_precision_is_the_limit_of_a_tight_prior() -> None:
    X, Y = data(d=1)
    known, nearly = (GammaPrecisionGP(X, Y, precision_prior=(p, p), outcome_transform=None) for p in (math.inf, 1e8))
    test_X = torch.rand(3, 1, dtype=torch.float64)
    p, q = student_t(known.posterior(test_X)), student_t(nearly.posterior(test_X))
    assert math.isinf(p.df)
    torch.testing.assert_close(p.mean, q.mean)
    torch.testing.assert_close(p.variance, q.variance, rtol=1e-5, atol=0.0)
    ei = [LogStudentTExpectedImprovement(model, 0.5)(test_X.unsqueeze(-2)) for model in (known, nearly)]
    torch.testing.assert_close(*ei, rtol=1e-4, atol=1e-6)
    assert known.posterior(test_X).rsample(torch.Size([4])).shape == (4, 3, 1)


def test_pruning_keeps_the_best_node_alone_or_all_of_them() -> None:
    X, Y = data(d=1)
    best, usual, everything = (GammaPrecisionGP(X, Y, prune=share) for share in (1.0, 1e-3, 0.0))
    assert [len(model.node_weights) for model in (best, everything)] == [1, 84]
    assert 1 < len(usual.node_weights) < 84
    weights = everything.node_weights.squeeze(-1)
    torch.testing.assert_close(
        usual.node_weights.squeeze(-1).sort().values[-5:],
        (weights / weights[weights >= 1e-3 * weights.max()].sum()).sort().values[-5:],
    )


@pytest.mark.parametrize("batch", [(4,), (4, 1), (1, 5)])
def test_points_and_fantasies_meet_as_they_broadcast(batch: tuple[int, ...]) -> None:
    """Data without batches take a short cut, whose answer is that of each batch alone."""
    X, Y = data()
    model = GammaPrecisionGP(X, Y, hyperparameters=nodes())
    fantasies = model.fantasize(torch.rand(1, 2).double(), SobolQMCNormalSampler(torch.Size([5]), seed=0))
    test_X = torch.rand(*batch, 3, 2, dtype=torch.float64)
    if batch == (4,):
        test_X = test_X.unsqueeze(1)
    p = fantasies.posterior(test_X)
    for i in range(test_X.shape[0]):
        for s in range(5):
            alone = GammaPrecisionGP(
                fantasies.train_X, fantasies.transformed_Y[s], hyperparameters=nodes(), outcome_transform=None
            )
            one = test_X[i, s if test_X.shape[1] == 5 else 0]
            moved = student_t(alone.posterior(one)).affine(model.outcome_transform.means, model.outcome_transform.stdvs)
            torch.testing.assert_close(p.mean[i, s], moved.mean)
            torch.testing.assert_close(p.variance[i, s], moved.variance)


def test_joint_samples_of_a_thousand_points_are_affordable() -> None:
    """Two samples pick two of some sixty nodes, and two matrices of 8 MB are made."""
    X, Y = data(n=10)
    model = GammaPrecisionGP(X, Y)
    assert len(model.node_weights) > 5
    posterior = student_t(model.posterior(torch.rand(1000, 2, dtype=torch.float64)))
    made: list[int] = []
    matrices: Any = posterior._shape_matrix
    posterior._shape_matrix = lambda nodes: made.append(len(nodes)) or matrices(nodes)  # type: ignore[func-returns-value]
    assert posterior.rsample(torch.Size([2])).shape == (2, 1000, 1)
    assert sum(made) <= 2
