"""What ``import lightning_gammabo`` adds to ``import lightning.pytorch``, measured in one process.

    python -m benchmarks.speed.import_time

Processor time, so that a busy machine does not count; the callback's class is looked up as well, for little comes
before that. The first import may have to compile the package: it is imported anew some times, and the least counts.
"""

from __future__ import annotations

import importlib
import json
import sys
import time

PACKAGE = "lightning_gammabo"


def forget() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == PACKAGE]:
        del sys.modules[name]


def main() -> None:
    began = time.process_time()
    importlib.import_module("lightning.pytorch")
    lightning = time.process_time() - began
    before = set(sys.modules)
    times = {"package": [], "callback": []}
    for _ in range(5):
        forget()
        began = time.process_time()
        package = importlib.import_module(PACKAGE)
        times["package"].append(time.process_time() - began)
        package.GammaLRSearch  # noqa: B018 (looking it up imports it)
        times["callback"].append(time.process_time() - began)
    others = {name.split(".")[0] for name in set(sys.modules) - before} - {PACKAGE}
    found = {"lightning.pytorch": lightning, **{name: min(seconds) for name, seconds in times.items()}}
    print(json.dumps({**{name: round(value, 3) for name, value in found.items()}, "others": sorted(others)}))


if __name__ == "__main__":
    main()
