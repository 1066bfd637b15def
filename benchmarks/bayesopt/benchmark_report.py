"""From what the sections wrote to the tables of the docs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bayesopt.benchmark_calibration import coverage
from benchmarks.bayesopt.benchmark_functions import FUNCTIONS
from benchmarks.bayesopt.benchmark_problems import Floats, Problem, problems

REFERENCE = "stock"
BEGIN, END = "<!-- benchmark: begin -->", "<!-- benchmark: end -->"
COUNTS = (5, 8, 12)
RESAMPLES = 2000
Key = tuple[int, int, int]


def regret_curve(run: dict[str, Any], problem: Problem) -> Floats:
    """Regret after each evaluation of the candidate that the search would then recommend."""
    return np.asarray(problem.regrets[run["recommended"]])


def curves(path: Path, group: str) -> dict[Key, Floats]:
    """Regret after each evaluation, by (cluster, part, repetition)."""
    cases = {(problem.cluster, problem.part): problem for problem in problems(group)}
    found = {}
    for run in json.loads(path.read_text(encoding="utf-8")):
        case = cases[(run["cluster"], run["part"]) if len(cases) > 1 else (0, 0)]
        found[(run["cluster"], run["part"], run["repetition"])] = regret_curve(run, case)
    return found


def standard_error(values: Floats, clusters: list[int]) -> float:
    """Of the mean, over clusters: runs on tables of one recorded seed are not independent of each other."""
    names = sorted(set(clusters))
    means = np.array([values[[c == name for c in clusters]].mean() for name in names])
    return float(means.std(ddof=1) / math.sqrt(len(means)))


def summary(runs: dict[Key, Floats]) -> dict[str, Any]:
    stack, clusters = np.stack(list(runs.values())), [key[0] for key in runs]
    row: dict[str, Any] = {"runs": len(stack)}
    for n in COUNTS:
        row[f"regret {n}"] = float(stack[:, n - 1].mean())
        row[f"se {n}"] = standard_error(stack[:, n - 1], clusters)
    for level in (0.05, 0.01):
        hit = stack <= level
        counts = np.where(hit.any(axis=1), hit.argmax(axis=1) + 1.0, math.inf)
        median = float(np.quantile(counts, 0.5, method="inverted_cdf"))
        row[f"evaluations to {level:.0%}"] = median if math.isfinite(median) else None
        row[f"share to {level:.0%}"] = float(hit.any(axis=1).mean())
    return row


def against(runs: dict[Key, Floats], reference: dict[Key, Floats], n: int) -> dict[str, float]:
    """Ratio and difference to the reference after ``n``, on the runs that both have, with errors over clusters."""
    keys = sorted(runs.keys() & reference.keys())
    ours, theirs = (np.array([source[key][n - 1] for key in keys]) for source in (runs, reference))
    clusters = [key[0] for key in keys]
    names = sorted(set(clusters))
    members = [np.array([c == name for c in clusters]) for name in names]
    sums = np.array([(ours[m].sum(), theirs[m].sum()) for m in members])
    picks = np.random.default_rng(0).integers(len(names), size=(RESAMPLES, len(names)))
    resampled = sums[picks].sum(axis=1)
    ratios = resampled[:, 0] / np.maximum(resampled[:, 1], 1e-12)
    return {
        "runs": len(keys),
        "ratio": float(ours.sum() / max(theirs.sum(), 1e-12)),
        "low": float(np.quantile(ratios, 0.025)),
        "high": float(np.quantile(ratios, 0.975)),
        "difference": float((ours - theirs).mean()),
        "se": standard_error(ours - theirs, clusters),
    }


def regret_summary(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*.json")):
        search, group = path.stem.rsplit("-", 1)
        found.setdefault(group, {})[search] = curves(path, group)
    result: dict[str, Any] = {}
    for group, searches in found.items():
        result[group] = {search: summary(runs) for search, runs in searches.items()}
        for search, runs in searches.items():
            if REFERENCE in searches:
                result[group][search][f"against {REFERENCE}"] = against(runs, searches[REFERENCE], 8)
    return result


def number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def ratio_of(paired: dict[str, float]) -> str:
    if paired["high"] > 100:  # the reference's own regret is next to nothing: no ratio to speak of
        return "-"
    return f"{paired['ratio']:.2f} [{paired['low']:.2f}, {paired['high']:.2f}]"


def regret_tables(result: dict[str, Any], order: list[str]) -> str:
    text = []
    groups = [name for name in (*FUNCTIONS, *sorted(result.keys() - FUNCTIONS.keys())) if name in result]
    header = ["search", "runs", "after 5", "after 8", "after 12", "to 5 % (share)", "to 1 % (share)", "8: ratio [95 %]"]
    header.append("8: difference (SE)")
    for group in groups:
        rows = []
        for search in sorted(result[group], key=order.index):
            row = result[group][search]
            cells = [search, str(row["runs"])]
            cells += [f"{number(row[f'regret {n}'])} ({number(row[f'se {n}'])})" for n in COUNTS]
            for level in ("5%", "1%"):
                median = row[f"evaluations to {level}"]
                cells.append(f"{'-' if median is None else f'{median:.0f}'} ({row[f'share to {level}']:.2f})")
            paired = row.get(f"against {REFERENCE}")
            if paired and search != REFERENCE:
                cells += [ratio_of(paired), f"{paired['difference']:+.3f} ({paired['se']:.3f})"]
            else:
                cells += ["", ""]
            rows.append(cells)
        text.append(f"**{group}**\n\n{table(header, rows)}")
    return "\n".join(text)


def cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def plain_table(rows: list[dict[str, Any]]) -> str:
    """Rows of equal keys as a table, in the order of the keys."""
    header = list(rows[0])
    return table(header, [[cell(row[key]) for key in header] for row in rows])


def thesis_tables(found: dict[str, Any]) -> str:
    text = []
    settings = [name for name in next(iter(found.values())) if name != "runs"]
    for setting in settings:
        rows = []
        for search, cells in found.items():
            row = {"search": search, "runs": 1 if "no noise, the blog" in setting else cells["runs"]}
            for name, entry in cells[setting].items():
                if isinstance(entry, dict):
                    middle = ["-" if entry[q] is None else f"{entry[q]:.0f}" for q in ("median", "q25", "q75")]
                    row[name] = f"{middle[0]} [{middle[1]}, {middle[2]}] ({entry['share']:.2f})"
                else:
                    row[name] = f"{entry:.2f}"
            rows.append(row)
        text.append(f"**{setting}**\n\n{plain_table(rows)}")
    return "\n".join(text)


def pooled_ratio(regret: dict[str, Any], search: str, groups: list[str]) -> float:
    """Regret after 8 over the reference's, both averaged over the groups."""
    ours = [regret[g][search]["regret 8"] for g in groups]
    theirs = [regret[g][search]["regret 8"] - regret[g][search][f"against {REFERENCE}"]["difference"] for g in groups]
    return sum(ours) / sum(theirs)


def regret_bars(regret: dict[str, Any], search: str) -> list[list[str]]:
    landscapes = [g for g in regret if g not in FUNCTIONS and f"against {REFERENCE}" in regret[g].get(search, {})]
    rows = []
    for group in landscapes:
        pair = regret[group][search][f"against {REFERENCE}"]
        rows.append(
            [
                f"`{search}`: regret after 8, share of the reference's, {group}",
                "0.6",
                ratio_of(pair),
                pair["ratio"] <= 0.6,
            ]
        )
    if landscapes:
        ratio = pooled_ratio(regret, search, landscapes)
        rows.append([f"`{search}`: the same, all recorded tasks", "0.6", f"{ratio:.2f}", ratio <= 0.6])
    pairs = {g: regret[g][search].get(f"against {REFERENCE}") for g in FUNCTIONS if search in regret.get(g, {})}
    worse = [g for g, pair in pairs.items() if pair and pair["difference"] > pair["se"]]
    shown = f"worse on: {', '.join(worse) or 'none'}"
    rows.append([f"`{search}`: not worse than the reference on any function after 8", "1 SE", shown, not worse])
    return [[*row[:3], "yes" if row[3] else "**no**"] for row in rows]


def other_bars(found: dict[str, Any]) -> list[list[str]]:
    rows: list[tuple[str, str, str, bool]] = []
    for row in coverage(found.get("calibration", [])):
        if row["surrogate"] == "gamma" and row["group"] not in FUNCTIONS:
            value = row["90%"]
            name = f"90 % intervals cover, {row['group']}, {row['design']} design"
            rows.append((name, "85-95 %", f"{value:.1%}", 0.85 <= value <= 0.95))
    if "cost" in found:
        at = found["cost"]["n = 12"]
        median, times = at["ask, ms, median"], at["times faster"]
        rows.append(("`ask()` at n = 12, median, ms", "3", f"{median:.1f}", median <= 3))
        rows.append(("times faster than fit and optimize_acqf", "30", f"{times:.0f}", times >= 30))
        grown = found["cost"]["resident KiB after 10000 asks"] / found["cost"]["resident KiB after 1000 asks"] - 1
        rows.append(("resident memory, growth from 1,000 to 10,000 asks", "flat", f"{grown:+.1%}", grown < 0.01))
    warm = {(r["group"], r["start"], r["n"]): r for r in found.get("warm", []) if r["landscape"] == "as recorded"}
    for group in dict.fromkeys(key[0] for key in warm):
        cold, six = warm[group, "cold", 12], warm[group, "warm", 6]
        measures = (
            ("warm 6 reaches cold 12", "regret", "SE"),
            ("the same on held-out images", "held-out", "held-out SE"),
        )
        for name, value, error in measures:
            shown = f"{six[value]:.3f} ({six[error]:.3f}) and {cold[value]:.3f} ({cold[error]:.3f})"
            rows.append((f"{name}, {group}", "equal", shown, six[value] <= cold[value]))
    return [[*row[:3], "yes" if row[3] else "**no**"] for row in rows]


def sections(found: dict[str, Any], order: list[str]) -> str:
    """All tables, for the docs."""
    bars = [row for search in ("gamma", "gamma_own_start") for row in regret_bars(found["regret"], search)]
    text = ["### Bars\n", table(["what", "bar", "measured", "holds"], bars + other_bars(found))]
    text += ["### Regret\n", regret_tables(found["regret"], order)]
    if "calibration" in found:
        text += ["### Calibration, averaged over n = 3 to 12\n", plain_table(coverage(found["calibration"]))]
    if "cost" in found:
        costs = {name: row for name, row in found["cost"].items() if isinstance(row, dict)}
        text += ["### Cost\n", plain_table([{"scores": name} | row for name, row in costs.items()])]
        text += ["".join(f"- {name}: {v}\n" for name, v in found["cost"].items() if not isinstance(v, dict))]
    if "warm" in found:
        text += ["### Warm start\n", plain_table(found["warm"])]
    if "foresight" in found:
        text += ["### Six looks that foresee the landscape\n", plain_table(found["foresight"])]
    if "thesis" in found:
        text += ["### The thesis's claim\n", thesis_tables(found["thesis"])]
    text += ["### Versions\n", ", ".join(f"{name} {version}" for name, version in found["versions"].items()) + "\n"]
    return "\n".join(text)


def write_report(folder: Path, order: list[str], docs: Path | None = None) -> None:
    """Print the tables, write ``benchmark.md`` and ``benchmark.json``, and put them between the marks in ``docs``."""
    found: dict[str, Any] = {"regret": regret_summary(folder / "regret")}
    for section in ("calibration", "cost", "warm", "foresight", "thesis", "versions"):
        path = folder / f"{section}.json"
        if path.exists():
            found[section] = json.loads(path.read_text(encoding="utf-8"))
    text = sections(found, order)
    (folder / "benchmark.md").write_text(text, encoding="utf-8")
    (folder / "benchmark.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    print(text)
    if docs:
        page = docs.read_text(encoding="utf-8")
        before, after = page.split(BEGIN)[0], page.split(END)[1]
        docs.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}", encoding="utf-8")
