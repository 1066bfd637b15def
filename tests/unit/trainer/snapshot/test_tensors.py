"""One tensor put back: its values in its own memory, its gradient, whether it asks for one."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from lightning_gammabo.trainer.snapshot.tensors import TensorImage, is_finite, wrapped_parts


@pytest.fixture(autouse=True)
def _sparse_compressed_tensors_are_no_news() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Sparse CSR tensor support.*")
        yield


def held(tensor: Tensor, *, grads: bool = True) -> TensorImage:
    image = TensorImage(tensor, grads=grads)
    assert not image.held
    assert image.hold()
    assert image.held
    return image


def bits(tensor: Tensor) -> object:
    """Equal bits, and not only equal numbers: NaN equals itself, 0.0 is not -0.0."""
    plain = tensor.detach().resolve_conj().resolve_neg().contiguous()
    return plain.dtype, plain.shape, plain.view(torch.uint8).reshape(-1).tolist() if plain.ndim else plain.item()


SPECIAL = [0.0, -0.0, float("nan"), float("inf"), -float("inf"), 1e-45, 3.4e38, 1.0 + 2**-23]
STRIDED: dict[str, Callable[[], Tensor]] = {
    "float32": lambda: torch.tensor(SPECIAL),
    "float64": lambda: torch.tensor(SPECIAL, dtype=torch.float64),
    "bfloat16": lambda: torch.tensor(SPECIAL, dtype=torch.bfloat16),
    "int64": lambda: torch.tensor([2**62, -1, 0]),
    "bool": lambda: torch.tensor([True, False]),
    "complex": lambda: torch.tensor([1.0 + 2.0j, -0.5j]),
    "scalar": lambda: torch.tensor(3),
    "empty": lambda: torch.zeros(0, 4),
    "transposed": lambda: torch.arange(6.0).reshape(2, 3).T,
    "strided view": lambda: torch.arange(12.0)[1::3],
    "channels last": lambda: torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
    "expanded": lambda: torch.arange(3.0)[:, None].expand(3, 1000),
    "overlapping windows": lambda: torch.arange(6.0).unfold(0, 3, 1),
}


@pytest.mark.parametrize("kind", STRIDED)
def test_values_are_put_back_to_the_bit_in_their_own_memory(kind: str) -> None:
    tensor = STRIDED[kind]()
    before, place, strides = bits(tensor), tensor.data_ptr(), tensor.stride()
    image = held(tensor)
    for _ in range(2):
        if tensor.numel():
            (tensor if kind != "expanded" else tensor[:, :1]).fill_(7) if kind != "bool" else tensor.logical_not_()
            assert bits(tensor) != before
        image.restore()
        assert bits(tensor) == before
        assert (tensor.data_ptr(), tensor.stride()) == (place, strides)


def test_an_expanded_tensor_is_held_once() -> None:
    tensor = torch.arange(3.0)[:, None].expand(3, 1_000_000)
    image = TensorImage(tensor)
    image.hold()
    kept = image._values
    assert kept is not None
    assert kept.untyped_storage().nbytes() == 3 * 4


def test_views_of_one_storage_are_put_back_together() -> None:
    base = torch.arange(6.0)
    row = base[2:4]
    images = [held(row), held(base)]
    base.fill_(9.0)
    for image in images:
        image.restore()
    assert base.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert row.tolist() == [2.0, 3.0]
    base[2] = -1.0
    assert row[0] == -1.0  # still the same memory


@pytest.mark.parametrize(
    "other",
    [
        lambda: torch.full((2, 2), 5.0),
        lambda: torch.full((3,), 5.0),
        lambda: torch.full((2, 2), 5.0, dtype=torch.float64),
        lambda: torch.full((2, 2), 5.0).T,
    ],
    ids=["same form", "other shape", "other dtype", "other strides"],
)
def test_a_tensor_pointed_elsewhere_is_pointed_back(other: Callable[[], Tensor]) -> None:
    weight = torch.nn.Parameter(torch.arange(4.0).reshape(2, 2))
    place = weight.data_ptr()
    image = held(weight)
    elsewhere = other()
    copied = elsewhere.clone()
    weight.data = elsewhere
    image.restore()
    assert weight.data_ptr() == place
    assert weight.tolist() == [[0.0, 1.0], [2.0, 3.0]]
    assert weight.dtype == torch.float32
    assert torch.equal(elsewhere, copied)  # it was not written over


def test_swapped_weights_are_swapped_back() -> None:
    ours, average = torch.nn.Parameter(torch.zeros(2)), torch.ones(2)
    images = [held(ours), held(average)]
    ours.data, average.data = average.data, ours.data
    ours.data.add_(1.0)
    for image in images:
        image.restore()
    assert (ours.tolist(), average.tolist()) == ([0.0, 0.0], [1.0, 1.0])
    assert ours.data_ptr() != average.data_ptr()


def test_a_resized_tensor_gets_its_size_back() -> None:
    memory = torch.arange(3.0)
    image = held(memory)
    memory.resize_(100).fill_(1.0)
    image.restore()
    assert memory.tolist() == [0.0, 1.0, 2.0]


class Labelled(Tensor):
    """As projects make them: methods of its own, which want an attribute that results of torch's functions lack."""

    labels: list[str]

    def clone(self, *args: object, **kwargs: object) -> Tensor:  # type: ignore[override]
        cloned = super().clone(*args, **kwargs)
        cloned.labels = list(self.labels)  # type: ignore[attr-defined]
        return cloned

    def detach(self) -> Tensor:
        detached = super().detach()
        detached.labels = self.labels  # type: ignore[attr-defined]
        return detached


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("pointed_elsewhere", [True, False])
def test_a_subclass_with_methods_of_its_own_is_put_back(labelled: bool, pointed_elsewhere: bool) -> None:
    tensor = torch.arange(3.0).as_subclass(Labelled)
    if labelled:
        tensor.labels = ["x", "y", "z"]
    place = tensor.data_ptr()
    image = held(tensor)
    if pointed_elsewhere:
        tensor.data = torch.full((3,), 9.0)
    else:
        tensor.fill_(9.0)
    image.restore()
    assert type(tensor) is Labelled
    assert tensor.data_ptr() == place
    assert tensor.tolist() == [0.0, 1.0, 2.0]
    assert hasattr(tensor, "labels") is labelled


def test_a_subclass_that_is_held_later_is_put_back() -> None:
    tensor = torch.arange(3.0).as_subclass(Labelled)
    image = TensorImage(tensor, deferred=True)
    assert image.hold()
    tensor.fill_(9.0)
    image.restore()
    assert tensor.tolist() == [0.0, 1.0, 2.0]


# ---- gradients


def test_a_gradient_is_the_same_object_again() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = grad = torch.full((2,), 3.0)
    image = held(weight)
    assert image.grad is grad
    weight.grad = None
    image.restore()
    assert weight.grad is grad


@pytest.mark.parametrize("grads", [True, False])
def test_a_new_gradient_goes(grads: bool) -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    image = held(weight, grads=grads)
    weight.square().sum().backward()
    image.restore()
    assert weight.grad is None


def test_without_gradients_none_is_left() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    image = held(weight, grads=False)
    assert image.grad is None
    image.restore()
    assert weight.grad is None


@pytest.mark.parametrize("asked", [True, False])
def test_freezing_is_undone(asked: bool) -> None:
    weight = torch.nn.Parameter(torch.ones(2), requires_grad=asked)
    image = held(weight)
    weight.requires_grad_(not asked)
    weight.grad = torch.ones(2)
    image.restore()
    assert weight.requires_grad is asked
    assert weight.grad is None


def test_a_total_that_took_in_a_graph_is_free_of_it() -> None:
    total, weight = torch.zeros(()), torch.nn.Parameter(torch.tensor(2.0))
    image = held(total)
    for _ in range(2):  # a second pass through the first one's graph would raise
        total += weight * weight
        total.backward()
        image.restore()
        assert total.is_leaf
        assert not total.requires_grad
        assert total == 0.0
    assert weight.grad == 8.0


def test_a_view_that_took_in_a_graph_is_freed_by_its_base() -> None:
    table, weight = torch.zeros(3), torch.nn.Parameter(torch.tensor(2.0))
    row = table[:1]
    images = [held(row), held(table)]
    row += weight
    for image in images:
        image.restore()
    assert table.is_leaf
    assert table.tolist() == row.tolist() * 3 == [0.0] * 3


def test_a_tensor_with_a_history_keeps_it() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    hidden = weight * 3.0  # weight_norm and recurrent modules keep such; deepcopy refuses them
    with pytest.raises(RuntimeError, match="graph leaves"):
        copy.deepcopy(hidden)
    image = held(hidden)
    hidden.data = torch.zeros(2)
    image.restore()
    assert hidden.tolist() == [3.0, 3.0]
    assert hidden.grad_fn is not None
    hidden.sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [3.0, 3.0]


# ---- other layouts


def test_an_inference_tensor_is_put_back() -> None:
    with torch.inference_mode():
        tensor = torch.arange(3.0)
    image = held(tensor)
    with torch.inference_mode():
        tensor.mul_(5.0)
    with torch.no_grad():  # as the image of a whole web restores
        image.restore()
    assert tensor.tolist() == [0.0, 1.0, 2.0]
    assert tensor.is_inference()


SPARSE: dict[str, Callable[[Tensor], Tensor]] = {
    "coo": lambda dense: dense.to_sparse(),
    "csr": lambda dense: dense.to_sparse_csr(),
    "csc": lambda dense: dense.to_sparse_csc(),
}


@pytest.mark.parametrize("kind", SPARSE)
def test_sparse_values_are_put_back(kind: str) -> None:
    dense = torch.tensor([[0.0, 2.0], [3.0, 0.0]])
    tensor = SPARSE[kind](dense)
    image = held(tensor)
    for _ in range(2):
        tensor.values().mul_(5.0)
        assert not torch.equal(tensor.to_dense(), dense)
        image.restore()
        assert tensor.layout == SPARSE[kind](dense).layout
        assert torch.equal(tensor.to_dense(), dense)


def test_a_sparse_tensor_that_took_in_entries_gives_them_back() -> None:
    dense = torch.eye(3)
    tensor = dense.to_sparse()
    image = held(tensor)
    for _ in range(2):
        tensor.add_(torch.ones(3, 3).to_sparse())
        image.restore()
        assert torch.equal(tensor.to_dense(), dense)


def test_a_sparse_gradient_that_grew_is_put_back() -> None:
    table = torch.nn.Embedding(4, 2, sparse=True)
    table(torch.tensor([1])).sum().backward()
    grad = table.weight.grad
    assert grad is not None
    before = grad.to_dense()
    images = [held(table.weight), held(grad)]
    table(torch.tensor([1, 3])).sum().backward()
    for image in images:
        image.restore()
    assert table.weight.grad is grad
    assert torch.equal(grad.to_dense(), before)
    assert not torch.equal(before, torch.zeros(4, 2))


# ---- wrappers


def jagged() -> Tensor:
    return torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged)


def test_a_wrapper_is_held_by_its_parts() -> None:
    tensor = jagged()
    parts = wrapped_parts(tensor)
    assert parts
    image = held(tensor)
    values = next(iter(parts.values()))
    for _ in range(2):
        values.zero_()
        image.restore()
        assert values.tolist() == [1.0] * 5
    assert wrapped_parts(torch.ones(2)) == {}


def test_a_wrapper_whose_part_was_exchanged_has_its_values_in_the_new_one() -> None:
    tensor = jagged()
    name, old = next(iter(wrapped_parts(tensor).items()))
    image = held(tensor)
    setattr(tensor, name, torch.zeros(5))
    image.restore()
    assert wrapped_parts(tensor)[name] is not old
    assert wrapped_parts(tensor)[name].tolist() == [1.0] * 5
    setattr(tensor, name, torch.zeros(7))  # of another form: the old one comes back
    image.restore()
    assert wrapped_parts(tensor)[name] is old


def test_a_part_that_was_written_cannot_be_held() -> None:
    tensor = jagged()
    image = TensorImage(tensor, deferred=True)
    next(iter(wrapped_parts(tensor).values())).data.mul_(2.0)
    assert not image.hold()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_found_within_wrappers(bad: float) -> None:
    tensor = jagged()
    assert is_finite(tensor)
    next(iter(wrapped_parts(tensor).values()))[1] = bad
    assert not is_finite(tensor)


# ---- holding later


@pytest.mark.parametrize(
    "write",
    [
        lambda t: t.add_(0.0),
        lambda t: t[0].fill_(1.0),
        lambda t: t.detach().zero_(),
        lambda t: torch.nn.init.zeros_(t),
    ],
    ids=["itself", "a view", "detached", "initialised"],
)
def test_what_was_written_since_cannot_be_held(write: Callable[[Tensor], object]) -> None:
    tensor = torch.ones(2)
    image = TensorImage(tensor)
    write(tensor)
    assert not image.hold()
    assert not image.held


def test_what_was_only_read_can_be_held_later() -> None:
    tensor = torch.nn.Parameter(torch.ones(2))
    image = TensorImage(tensor)
    tensor.sum().backward()
    assert image.hold()
    with torch.no_grad():
        tensor.zero_()
    image.restore()
    assert tensor.tolist() == [1.0, 1.0]


def test_restoring_counts_as_writing() -> None:
    tensor = torch.ones(2)
    older, newer = held(tensor), TensorImage(tensor)
    older.restore()
    assert not newer.hold()


@pytest.mark.parametrize("fits", [True, False])
def test_an_older_copy_is_written_over_where_it_fits(fits: bool) -> None:
    tensor = torch.ones(2, 3)
    older = held(tensor)
    copied = older._values
    tensor.data = torch.full((2, 3) if fits else (4,), 5.0)
    newer = TensorImage(tensor)
    assert newer.hold(reuse=older)
    assert (newer._values is copied) is fits
    assert older.held is not fits
    tensor.data.zero_()
    newer.restore()
    assert set(tensor.flatten().tolist()) == {5.0}


def test_an_older_sparse_copy_is_not_written_over() -> None:
    tensor = torch.eye(3).to_sparse_csr()
    older = held(tensor)
    full = torch.ones(3, 3).to_sparse_csr()  # more entries: no room for them in the older copy
    tensor.resize_as_sparse_(full).copy_(full)
    newer = TensorImage(tensor)
    assert newer.hold(reuse=older)
    newer.restore()
    assert torch.equal(tensor.to_dense(), torch.ones(3, 3))
    older.restore()
    assert torch.equal(tensor.to_dense(), torch.eye(3))


def test_restoring_before_holding_is_our_own_fault() -> None:
    with pytest.raises(AssertionError, match=r"hold\(\) comes before restore\(\)"):
        TensorImage(torch.ones(1)).restore()


def test_the_key_is_the_tensor_itself() -> None:
    tensor = torch.ones(1)
    assert TensorImage(tensor).key == id(tensor) != TensorImage(tensor.detach()).key


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_values_on_a_device_stay_there() -> None:
    tensor = torch.nn.Parameter(torch.ones(3, device="cuda"))
    place = tensor.data_ptr()
    image = held(tensor)
    tensor.data = torch.zeros(3, device="cuda")
    image.restore()
    assert tensor.data_ptr() == place
    assert tensor.is_cuda
    assert tensor.tolist() == [1.0] * 3
