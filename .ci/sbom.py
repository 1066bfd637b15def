"""The bill of materials of the wheel in dist/: all that it needs, in the versions it was tested with (CycloneDX).

    python .ci/sbom.py

Run it in the environment of the tests: its versions are taken, of the package's dependencies and theirs alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
BILL = ROOT / "dist" / "sbom.cdx.json"
PACKAGE = "lightning_gammabo"


def needed(package: str) -> dict[str, str]:
    """The package and all that it requires in this environment, with the extras that are asked for: name -> version."""
    found: dict[str, str] = {}
    waiting, seen = [Requirement(package)], set()
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        if (name, *sorted(wanted.extras)) in seen:
            continue
        seen.add((name, *sorted(wanted.extras)))
        here = distribution(name)
        found[name] = here.version.partition("+")[0]  # a build for one kind of device is no version of its own
        for below in map(Requirement, here.requires or []):
            extras = ("", *wanted.extras)
            if below.marker is None or any(below.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(below)
    return found


def main() -> None:
    (wheel,) = BILL.parent.glob("*.whl")
    found = needed(PACKAGE)
    version = found.pop(canonicalize_name(PACKAGE))
    if version != wheel.name.split("-")[1]:
        sys.exit(f"{wheel.name} was built, {version} is installed here: run make setup")
    lines = "".join(f"{name}=={version}\n" for name, version in sorted(found.items()))
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", "--output-reproducible", "--pyproject"]
    command += [str(ROOT / "pyproject.toml"), "--of", "JSON", "-o", str(BILL), "-"]
    subprocess.run(command, input=lines, text=True, check=True)
    bill = json.loads(BILL.read_text(encoding="utf-8"))
    bill["metadata"]["component"]["version"] = version  # dynamic, so that the tool does not find it
    BILL.write_text(json.dumps(bill, indent=2) + "\n", encoding="utf-8")
    print(f"{BILL.relative_to(ROOT)}: {len(found)} packages")


if __name__ == "__main__":
    main()
