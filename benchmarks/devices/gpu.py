"""All checks that wait for a GPU, in one short run: ``make gpu``, or ``python -m benchmarks.devices.gpu``.

The cells marked ``gpu`` (identity with fused and capturable optimizers, compiled modules, a live GradScaler), then DDP
and FSDP2 on one device: peak memory, and a search epoch over K plain ones. It prints a page for the docs, with machine
and date. ``--cpu`` runs what a machine without a GPU can run.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import subprocess
import sys
import time

import torch

LIMIT = 600.0
"""seconds for all steps together"""


def steps(gpu: bool) -> dict[str, list[str]]:
    """What is run, by name: the arguments of Python."""
    pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "gpu", "tests"]
    cost = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=1", "-m", "benchmarks.devices.sharded"]
    devices = ["--gpu"] if gpu else []
    found = {"cells marked gpu": pytest} if gpu else {}
    for strategy in ("ddp", "fsdp2"):
        found[f"{strategy}, plain"] = [*cost, "--rank", strategy, *devices]
        found[f"{strategy}, searched"] = [*cost, "--rank", strategy, "--searched", *devices]
    return found


def run(arguments: list[str], seconds: float) -> tuple[str, str]:
    """How a step ended, and the end of what it said."""
    try:
        done = subprocess.run(
            [sys.executable, *arguments], env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
            timeout=seconds, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "ran out of time", ""
    said = done.stdout if done.returncode == 0 else done.stdout + done.stderr
    return "passed" if done.returncode == 0 else f"exit code {done.returncode}", said[-2000:].strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cpu", action="store_true", help="run what a machine without a GPU can run")
    gpu = not parser.parse_args().cpu
    if gpu and not torch.cuda.is_available():
        sys.exit("no CUDA device: run it on a machine that has one, or try the script itself with --cpu")
    machine = torch.cuda.get_device_name() if gpu else platform.processor() or platform.machine()
    print(f"{datetime.date.today()}, {machine}, PyTorch {torch.__version__}", flush=True)
    end, failed = time.monotonic() + LIMIT, False
    for name, arguments in steps(gpu).items():
        began = time.monotonic()
        outcome, said = run(arguments, max(end - began, 1.0))
        failed = failed or outcome != "passed"
        print(f"\n{name}: {outcome} after {time.monotonic() - began:.0f} s\n{said}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
