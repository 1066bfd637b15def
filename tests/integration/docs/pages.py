"""The blocks of a page, and how each is run: one mechanism for README and docs.

``python`` is executed, all blocks of a page in one namespace; ``pycon`` is a doctest in that namespace; of ``bash`` the
lines that begin with ``python`` run in this process, those of pip and make do not (they would install over what is
tested); ``yaml`` is read. A ``python`` or ``yaml`` block whose first line is ``# name.ext`` is a file. A block after a
line ``<!-- not run: why -->`` is passed over. Blocks without a language, and ``text``, are shown only.
"""

from __future__ import annotations

import doctest
import importlib.util
import os
import re
import runpy
import shlex
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch import LightningDataModule, LightningModule
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

ROOT = Path(__file__).parents[3]
PAGES = [Path("README.md"), *sorted(path.relative_to(ROOT) for path in (ROOT / "docs").glob("*.md"))]
SHOWN = {"", "text"}

_BLOCK = re.compile(
    r"(?:^ *<!-- not run(?P<why>[^\n]*)-->\n)?^(?P<indent> *)```(?P<kind>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$",
    flags=re.DOTALL | re.MULTILINE,
)
_FILE = re.compile(r"# (\w+\.(?:py|yaml))\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block: its language, its text, and why it is not run, or None."""

    kind: str
    text: str
    not_run: str | None

    @property
    def file(self) -> str | None:
        found = _FILE.match(self.text)
        return found[1] if found else None

    @property
    def commands(self) -> list[str]:
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line for line in lines if line.strip() and not re.match(r"#|pip |make ", line)]

    @property
    def runs(self) -> bool:
        if self.not_run is not None or self.kind in SHOWN or self.kind.startswith("{"):
            return False
        return self.kind != "bash" or bool(self.commands)


def blocks_of(text: str) -> Iterator[Block]:
    for found in _BLOCK.finditer(text):
        why = found["why"]
        yield Block(
            kind=found["kind"].strip(),
            text=textwrap.dedent(found["text"]),
            not_run=None if why is None else why.strip(" :"),
        )


class Model(LightningModule):
    """The ``model`` of pages that say only that it is the reader's."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(3, 2)

    def training_step(self, batch, batch_idx):
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", nn.functional.cross_entropy(self.net(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Data(LightningDataModule):
    def train_dataloader(self):
        x = torch.randn(16, 3, generator=torch.Generator().manual_seed(0))
        return DataLoader(TensorDataset(x, (x[:, 0] > 0).long()), batch_size=8)

    val_dataloader = train_dataloader


def readers_own() -> dict[str, Any]:
    """What a page may take for granted."""
    module, data = Model(), Data()
    return {
        "__name__": "page",
        "model": Model(),
        "data": data,
        "module": module,
        "optimizer": module.configure_optimizers(),
        "batches": list(data.train_dataloader()),
    }


def run_page(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, names: dict[str, Any] | None = None) -> int:
    """Run all blocks of a page, one after the other, in one folder.

    Returns:
        How many were run.
    """
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    names = readers_own() if names is None else names
    ran = 0
    try:
        for block in blocks_of((ROOT / page).read_text(encoding="utf-8")):
            if block.runs:
                run_block(block, folder, monkeypatch, names)
                ran += 1
    finally:
        plt.close("all")
        for path in folder.glob("*.py"):
            sys.modules.pop(path.stem, None)
    return ran


def run_block(block: Block, folder: Path, monkeypatch: pytest.MonkeyPatch, names: dict[str, Any]) -> None:
    if block.file is not None:
        (folder / block.file).write_text(block.text, encoding="utf-8")
    elif block.kind == "python":
        exec(compile(block.text, "block of python", "exec"), names)
    elif block.kind == "pycon":
        run_doctest(block.text, names)
    elif block.kind == "yaml":
        yaml.safe_load(block.text)
    elif block.kind == "bash":
        for command in block.commands:
            run_command(command, folder, monkeypatch)
    else:
        raise AssertionError(f"a block of {block.kind!r}: nobody knows how to run it")


def run_doctest(text: str, names: dict[str, Any]) -> None:
    said: list[str] = []
    test = doctest.DocTestParser().get_doctest(text, names, "block", None, 0)
    failed, tried = doctest.DocTestRunner(verbose=False).run(test, out=said.append, clear_globs=False)
    names.update(test.globs)  # the parser took a copy
    assert tried, f"no example in:\n{text}"
    assert not failed, "".join(said)


def run_command(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of a shell, in this process: Lightning is imported only once."""
    (folder / "config.yaml").unlink(missing_ok=True)  # a LightningCLI writes none over another
    words = shlex.split(command)
    with monkeypatch.context() as patch:
        while re.fullmatch(r"\w+=.*", words[0]):
            name, _, value = words.pop(0).partition("=")
            patch.setitem(os.environ, name, value)
        assert words.pop(0) == "python", command
        path = folder / words[0]
        if words[0] == "-m":
            words.pop(0)
            # as `-m` would find it
            path = Path(str(importlib.util.find_spec(words[0]).origin)).with_name("__main__.py")
        patch.setattr(sys, "argv", words)
        runpy.run_path(str(path), run_name="__main__")
