"""Whole batches taken from tensors at once: for networks whose step costs less than putting single samples together."""

from __future__ import annotations

from torch import Tensor
from torch.utils.data import DataLoader, Dataset

Pair = tuple[Tensor, Tensor]
"""samples and their targets"""


class Rows(Dataset[Pair]):
    def __init__(self, pair: Pair) -> None:
        self.x, self.y = pair

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> Pair:
        return self.x[index], self.y[index]

    def __getitems__(self, indices: list[int]) -> Pair:
        return self.x[indices], self.y[indices]


def whole(batch: Pair) -> Pair:
    return batch


def loader(pair: Pair, batch: int, *, shuffle: bool = False) -> DataLoader[Pair]:
    return DataLoader(Rows(pair), batch_size=batch, shuffle=shuffle, collate_fn=whole)
