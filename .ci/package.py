"""Builds wheel and sdist, checks both, and tests both where only what they hold is there.

    python .ci/package.py [--tag v1.0.0] [--pytest '-q -n 2']

Each is installed into a new virtual environment. That one sees the packages of the environment that runs this script
(PyTorch alone is gigabytes), but not this clone: what is imported is what was installed. The tests come from the sdist.
Where the wheel is tested, its installed files stand in the place of the sdist's package.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
PACKAGE = "lightning_gammabo"
QUICK = "-q -x -n 2 tests/unit/records tests/unit/determinant tests/unit/learning_rate tests/integration/package"
"""what is run by default: the whole suite has run already where this script is called"""


def run(*command: object, cwd: Path = ROOT) -> str:
    words = [str(word) for word in command]
    print("$", shlex.join(words), flush=True)
    # nothing of the caller may lead to the clone; the networks of the tests are too small for threads
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTEST_ADDOPTS")}
    done = subprocess.run(words, cwd=cwd, env={"OMP_NUM_THREADS": "1", **variables}, text=True, stdout=subprocess.PIPE)
    print(done.stdout, end="", flush=True)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout


def build() -> tuple[Path, Path]:
    """The wheel, built from the sdist, and the sdist."""
    shutil.rmtree(DIST, ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", DIST)
    (wheel,), (sdist,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist)
    return wheel, sdist


def check_contents(wheel: Path, sdist: Path) -> None:
    """The wheel has the package alone, the sdist all that git holds."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    strange = [name for name in names if not re.match(rf"{PACKAGE}(/|-[^/]+\.dist-info/)", name)]
    assert not strange, f"the wheel has {strange}"
    wanted = [path for path in held_by_git() if path.startswith(f"{PACKAGE}/")]
    missing = {*wanted, f"{PACKAGE}/py.typed"} - {*names}
    assert not missing, f"the wheel lacks {sorted(missing)}"
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names), "the wheel has no licence"
    with tarfile.open(sdist) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    missing = {*held_by_git()} - {*names}
    assert not missing, f"the sdist lacks {sorted(missing)}: see MANIFEST.in"


def held_by_git() -> list[str]:
    """The files of the clone; none where this is no clone."""
    if not (ROOT / ".git").exists():
        return []
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, text=True, capture_output=True)
    return [name for name in listed.stdout.splitlines() if (ROOT / name).exists()]


def environment(folder: Path, distribution: Path) -> Path:
    """A new interpreter with the distribution installed."""
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    site = site_of(python)
    # .pth files there are not read: the clone's editable install stays unseen
    (site / "shared.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", distribution, cwd=folder)
    found = run(python, "-c", f"import {PACKAGE}; print({PACKAGE}.__file__)", cwd=folder)
    assert Path(found.strip()).parent == site / PACKAGE, found
    return python


def site_of(python: Path) -> Path:
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return Path(subprocess.run([python, "-c", code], check=True, text=True, capture_output=True).stdout.strip())


def try_out(python: Path, tree: Path, arguments: str) -> None:
    """The demo's command, the command line, and the tests, from an unpacked sdist."""
    run(python.with_name("lightning-gammabo"), "--help", cwd=tree.parent)
    run(python, "examples/digits.py", "--epochs", "1", "--out", tree.parent / "digits", cwd=tree)
    run(python, "-m", "pytest", "-p", "no:cacheprovider", *shlex.split(arguments), cwd=tree)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tag", help="the release's tag, which has to be the version's")
    parser.add_argument("--pytest", default=QUICK, metavar="ARGUMENTS", help=f"by default: {QUICK}")
    arguments = parser.parse_args()
    wheel, sdist = build()
    check_contents(wheel, sdist)
    version = wheel.name.split("-")[1]
    if arguments.tag is not None and arguments.tag != f"v{version}":
        sys.exit(f"the tag is {arguments.tag!r}, the version {version!r}")
    for distribution in (wheel, sdist):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            python = environment(folder / "env", distribution)
            with tarfile.open(sdist) as archive:
                archive.extractall(folder, filter="data")
            tree = folder / sdist.name.removesuffix(".tar.gz")
            if distribution is wheel:
                shutil.rmtree(tree / PACKAGE)
                (tree / PACKAGE).symlink_to(site_of(python) / PACKAGE, target_is_directory=True)
            try_out(python, tree, arguments.pytest)
    print(f"{wheel.name} and {sdist.name} are whole, install, and pass")


if __name__ == "__main__":
    main()
