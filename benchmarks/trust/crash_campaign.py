"""Kills a fit at random points, resumes it from its last checkpoint, and compares with the fit that never stopped.

``python -m benchmarks.trust.crash_campaign --kills 100``

Half of the kills fall on a counted event: any hook of the module or of a callback, in any candidate, in the committed
epoch, while the history is being written, while a checkpoint is saved. The other half falls after a random time. Each
is a SIGKILL, which no process can catch. Every life is forked from one process that has imported everything.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback

from benchmarks.trust.small_fit import SEARCHES, Small, fit, quiet
from lightning_gammabo import SearchHistory

EPOCHS = 5
MODULE_HOOKS = (
    "on_train_start", "on_train_epoch_start", "on_train_batch_start", "training_step", "on_before_zero_grad",
    "on_before_backward", "on_after_backward", "on_before_optimizer_step", "on_train_batch_end", "on_train_epoch_end",
    "on_validation_start", "validation_step", "on_validation_batch_end", "on_validation_epoch_end",
    "on_validation_end", "on_save_checkpoint", "on_load_checkpoint",
)  # fmt: skip
# no batch hooks here: they would turn every commit into a replay
CALLBACK_HOOKS = (
    "setup", "on_fit_start", "on_train_start", "on_train_epoch_start", "on_train_epoch_end", "on_validation_start",
    "on_validation_epoch_end", "on_validation_end", "on_save_checkpoint", "on_train_end",
)  # fmt: skip


class Fuse:
    """Counts events and ends the process, as a power cut would, at the chosen one."""

    def __init__(self, at: int | None = None) -> None:
        self.at, self.events = at, 0

    def burn(self) -> None:
        self.events += 1
        if self.events == self.at:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def burning(*args: Any, **kwargs: Any) -> Any:
            self.burn()
            return call(*args, **kwargs)

        return burning


def armed(fuse: Fuse) -> tuple[Small, Callback]:
    """A module and a callback whose hooks burn the fuse; saving and syncing files burns it too."""
    hooks = {name: _burning(fuse, name) for name in MODULE_HOOKS}
    module = type("Small", (Small,), hooks)()
    watcher = type("Watcher", (Callback,), {name: _nothing_but(fuse) for name in CALLBACK_HOOKS})()
    os.fsync = fuse.before(os.fsync)
    Path.replace = fuse.before(Path.replace)  # type: ignore[method-assign]
    torch.save = fuse.before(torch.save)
    return module, watcher


def _burning(fuse: Fuse, name: str) -> Callable[..., Any]:
    def hook(self: Any, *args: Any, **kwargs: Any) -> Any:
        fuse.burn()
        return getattr(Small, name)(self, *args, **kwargs)

    return hook


def _nothing_but(fuse: Fuse) -> Callable[..., None]:
    return lambda *args, **kwargs: fuse.burn()


def live(folder: Path, search: dict[str, Any], fuse: Fuse, after: float | None = None) -> bool:
    """One life of the fit in a process of its own; whether it came to its end."""
    checkpoint = last_checkpoint(folder)
    child = os.fork()
    if child == 0:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            module, watcher = armed(fuse)
            left = fit(folder, search, epochs=EPOCHS, module=module, callbacks=[watcher], checkpoint=checkpoint)
            (folder / "result.json").write_text(json.dumps({**left, "events": fuse.events}))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    if after is not None:
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return (folder / "result.json").exists()
    if status != 0:
        sys.exit(f"a life ended by itself with status {status}; the error stands above")
    return True


def last_checkpoint(folder: Path) -> Path | None:
    """The newest one that is whole: a kill while one is written may tear it."""
    for path in sorted(folder.glob("*.ckpt"), key=lambda path: path.stat().st_mtime_ns, reverse=True):
        try:
            torch.load(path, weights_only=True)
        except Exception:
            continue
        return path
    return None


def result_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return found


def campaign(kills: int, seed: int, folder: Path) -> int:
    """Print each run and give the number of kills that it survived."""
    dice = random.Random(seed)
    plain: dict[str, dict[str, Any]] = {}
    seconds: dict[str, float] = {}
    for name, search in SEARCHES.items():
        began = time.perf_counter()
        (folder / name).mkdir()
        live(folder / name, search, Fuse())
        plain[name], seconds[name] = result_of(folder / name), time.perf_counter() - began
    done = survived = runs = 0
    while done < kills:
        name = list(SEARCHES)[runs % len(SEARCHES)]
        run = folder / f"run{runs}"
        run.mkdir()
        deaths, unread = 0, 0
        while True:
            enough = done + deaths >= kills
            at = None if enough or deaths % 2 else dice.randint(1, plain[name]["events"])
            after = dice.uniform(0.0, seconds[name]) if deaths % 2 and not enough else None
            if live(run, SEARCHES[name], Fuse(at), after):
                break
            deaths += 1
            unread += not history_is_whole(run / "history.jsonl")
        done += deaths
        wrong = [key for key in plain[name] if key != "events" and result_of(run)[key] != plain[name][key]]
        left = [path.name for path in run.iterdir() if path.suffix not in (".ckpt", ".jsonl", ".json")]
        well = not wrong and not unread and not left
        survived += deaths if well else 0
        end = "the same to the bit" if well else f"differ: {wrong}; left: {left}; histories not whole: {unread}"
        print(f"run {runs:3d} ({name}): {deaths} kills, {end}", flush=True)
        runs += 1
        shutil.rmtree(run)
    print(f"survived {survived} of {done} kills in {runs} runs (seed {seed})")
    return done - survived


def history_is_whole(path: Path) -> bool:
    try:
        return not path.exists() or [r.epoch for r in SearchHistory.load(path)] == list(
            range(len(SearchHistory.load(path)))
        )
    except ValueError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    quiet()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        lost = campaign(arguments.kills, arguments.seed, Path(folder))
    sys.exit(bool(lost))


if __name__ == "__main__":
    main()
