"""Installs each client, runs its script, and writes the table of docs/trust_tables.md.

``python examples/clients/run.py`` makes a virtual environment for each client (some minutes and gigabytes);
``--share`` lets each see the packages of this interpreter and keep its torch and Lightning, so that the client alone is
installed. Clients can be named to run these again; rows of the others are kept.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import subprocess
import sys
import sysconfig
import venv
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.pages import table, write_between  # noqa: E402

CLIENTS = {
    "anomalib_fastflow": ["anomalib~=2.7"],
    "chemprop_mpnn": ["chemprop~=2.3"],
    "darts_nbeats": ["u8darts[torch]>=0.36"],
    "finetuning_digits": ["finetuning-scheduler~=2.14", "scikit-learn"],
    "forecasting_tft": ["pytorch-forecasting~=1.8"],
    "gluonts_deepar": ["gluonts[torch]~=0.17"],
    "neuralforecast_nhits": ["neuralforecast~=3.3"],
    "neuralprophet_ar": ["neuralprophet~=0.9.0", "pandas<3"],
    "pina_competitive": ["pina-mathlab~=0.3.2"],
    "rl4co_ppo": ["rl4co~=0.7"],
    "scvi_totalvi": ["scvi-tools~=1.4"],
    "torch_uncertainty_mlp": ["torch-uncertainty~=0.13"],
}
"""what each script needs"""
BEGIN, END = "<!-- written by examples/clients/run.py -->", "<!-- end of the clients -->"
HELD = ("torch", "lightning", "pytorch-lightning", "torchmetrics")
"""kept as they are with ``--share``"""


def environment(folder: Path, name: str, *, share: bool) -> Path:
    """A client's interpreter; an environment that is there already is taken as it is."""
    python = folder / name / "bin" / "python"
    if python.exists():
        return python
    venv.create(folder / name, with_pip=True)
    wanted = CLIENTS[name]
    if share:
        purelib = subprocess.check_output(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
        )
        Path(purelib.strip(), "shared.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
        held = folder / f"{name}.txt"
        held.write_text("".join(f"{one}=={importlib.metadata.version(one).split('+')[0]}\n" for one in HELD))
        wanted = [*wanted, "--constraint", str(held)]
    else:
        wanted = [*wanted, str(ROOT)]
    subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True)
    return python


def run(name: str, python: Path, log: Path) -> dict[str, Any]:
    """The row that a client's script ends with; where it fails, the last line that it wrote."""
    with log.open("w", encoding="utf-8") as file:
        ended = subprocess.run(
            [python, str(ROOT / "examples" / "clients" / f"{name}.py")],
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            cwd=log.parent,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        )
    lines = ended.stdout.strip().splitlines() or [""]
    if lines[-1].startswith("{"):
        return {"name": name, "date": datetime.date.today().isoformat(), **json.loads(lines[-1])}
    return {"name": name, "failed": (log.read_text(encoding="utf-8").strip().splitlines() or ["nothing was said"])[-1]}


def line(row: dict[str, Any]) -> list[str]:
    if "failed" in row:
        return [row["name"], "", f"FAILS: {row['failed']}", "", "", "", "", "", ""]
    found = [f"{how}: {', '.join(paths[:3])}" for how, paths in row["differing"].items() if paths]
    return [
        row["client"],
        f"`{row['namespace']}`",
        f"{row['shows']}; {counted(row['optimizers'])}{' by hand' if row['by_hand'] else ''}",
        counted(row["schedulers"]) or "none",
        "yes" if row["validated"] else "no",
        "DIFFERS, " + "; ".join(found) if found else "bit for bit",
        " + ".join(map(str, row["candidates"])),
        ", ".join(row["rates"]),
        " -> ".join(map(str, row["seconds"])),
    ]


def counted(names: list[str]) -> str:
    return ", ".join(f"{number} {name}" if number > 1 else name for name, number in Counter(names).items())


def page(rows: list[dict[str, Any]]) -> str:
    worked = [row for row in rows if "failed" not in row and not any(row["differing"].values())]
    versions = {f"{name} {version}" for row in rows for name, version in row.get("versions", {}).items()}
    dates = sorted({row["date"] for row in rows if "date" in row})
    pythons = sorted({row["python"] for row in rows if "python" in row})
    header = [
        "client", "namespace", "what trains", "LR scheduler", "validated", "present rate kept = plain fit",
        "candidates", "rates of the epochs", "seconds, plain -> searched",
    ]  # fmt: skip
    said = (
        f"{len(worked)} of {len(rows)} clients work. {', '.join(dates)}, Python {', '.join(pythons)}, "
        f"{', '.join(sorted(versions))}, on a CPU."
    )
    return f"{said}\n\n{table(header, map(line, rows))}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clients", nargs="*", metavar="NAME", help=f"of {', '.join(CLIENTS)}; all where none is named")
    parser.add_argument("--folder", type=Path, default=Path("runs/clients"), help="of environments, logs and rows")
    parser.add_argument("--share", action="store_true", help="let the environments see this interpreter's packages")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.clients or CLIENTS:
        row = run(name, environment(folder, name, share=arguments.share), folder / f"{name}.log")
        (folder / f"{name}.json").write_text(json.dumps(row), encoding="utf-8")
        print(" | ".join(line(row)), flush=True)
    kept = (folder / f"{name}.json" for name in CLIENTS)
    rows = [json.loads(file.read_text(encoding="utf-8")) for file in kept if file.exists()]
    write_between(ROOT / "docs" / "trust_tables.md", BEGIN, END, page(rows))
    sys.exit(any("failed" in row or any(row["differing"].values()) for row in rows))


if __name__ == "__main__":
    main()
