"""Order of the house: which room imports which, where Lightning's insides are named, how long things may be.

Everything is read from the syntax tree; nothing of the package is imported. A room that ``MAY_IMPORT`` lacks is an
error.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.helpers.rooms import MAY_IMPORT

PACKAGE = "lightning_gammabo"
ROOT = Path(__file__).parent.parent / PACKAGE

LIGHTNING = {"lightning", "lightning_fabric", "pytorch_lightning"}
BOTORCH = {"botorch", "gpytorch", "linear_operator"}
MUST_NOT_IMPORT: dict[str, set[str]] = {
    "records": LIGHTNING | BOTORCH | {"torch", "numpy"},
    "learning_rate": LIGHTNING | BOTORCH,
    "determinant": LIGHTNING | BOTORCH,
    "bayesopt": LIGHTNING | {"torch.nn", "torch.optim"},
    "report": LIGHTNING | BOTORCH,
    "trainer": BOTORCH,
    **{
        f"trainer/snapshot/{name}.py": LIGHTNING | BOTORCH
        for name in ("objects", "restorers", "tensors", "rng", "weights")
    },
}
"""room or file -> packages that it must not import"""
INSIDES = {"trainer"}
MARKS = {"bayesopt": {"_log"}}
"""room -> private names of others that are part of their interface: BoTorch marks acquisitions of a logarithm so"""
LOOPS = {"fit_loop", "epoch_loop", "val_loop", "validate_loop"}

TESTS = Path(__file__).parent
UNIT = TESTS / "unit"
NO_UNIT_TEST = {
    # public names and nothing else; what they promise is tested with the modules that have them
    "__init__.py",
    # one call of cli/main.py, which tests/unit/cli/test_main.py runs
    "__main__.py",
}
"""rooms and modules without a unit test file of their own; each needs its reason in a comment above it"""

MAX_FILE_LINES = 330
MAX_FUNCTION_LINES = 40
ALLOWED_LENGTH: dict[str, int] = {
    # one class, a fit from its plan to its end; a third is docstrings
    "scheduler/fit.py": 355,
    # one class, the life of a candidate from the rewind to the commit
    "trainer/epoch_runner.py": 432,
    # one class each with its state, by BoTorch's and ask/tell's interfaces; two fifths are docstrings
    "bayesopt/model.py": 405,
    "bayesopt/search.py": 420,
    # one dataclass with its checks, one entry for each field, and the named policies
    "policy.py": 370,
}
"""``path`` or ``path:function`` -> lines that it may have; each needs its reason in a comment beside it"""


def modules() -> Iterator[str]:
    return (path.relative_to(ROOT).as_posix() for path in sorted(ROOT.rglob("*.py")))


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def room(path: str) -> str:
    return path.split("/")[0].removesuffix(".py")


def imported(path: str, source: str) -> Iterator[str]:
    """Dotted names of all that is imported, at the top, within functions and for type checking."""
    here = [PACKAGE, *path.split("/")[:-1]]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            origin = ".".join([*base, node.module] if node.module else base)
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def direction_faults(path: str, source: str) -> list[str]:
    mine = room(path)
    if mine not in MAY_IMPORT:
        return [f"{path}: the room {mine} is not in MAY_IMPORT"]
    allowed = MAY_IMPORT[mine] | {mine}
    faults = []
    for name in imported(path, source):
        if is_within(name, PACKAGE) and name != PACKAGE:
            inside = name.removeprefix(f"{PACKAGE}.")
            if not any(is_within(inside, other) for other in allowed):
                faults.append(f"{path} imports {name}: {mine} may import only {sorted(allowed)}")
        banned = MUST_NOT_IMPORT.get(mine, set()) | MUST_NOT_IMPORT.get(path, set())
        faults += [f"{path} imports {name}" for bad in banned if is_within(name, bad)]
    return faults


def modules_imported(path: str, source: str, known: set[str]) -> set[str]:
    """Modules of the package that a module imports, as paths."""
    found = set()
    for name in imported(path, source):
        inside = name.removeprefix(f"{PACKAGE}.").replace(".", "/")
        candidates = (f"{inside}.py", f"{inside.rpartition('/')[0]}.py")
        found |= {other for other in candidates if is_within(name, PACKAGE) and other in known and other != path}
    return found


def circle(edges: dict[str, set[str]]) -> list[str]:
    """A circle of imports, or nothing: takes away what imports nothing more until nothing changes."""
    left = {path: set(others) for path, others in edges.items()}
    while True:
        free = {path for path, others in left.items() if not others & set(left)}
        if not free:
            return sorted(left)
        left = {path: others for path, others in left.items() if path not in free}


def own_private_names(tree: ast.AST) -> set[str]:
    """Private names that this module itself gives: functions, classes, ``self._x = ...``, fields, slots."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names |= {node.attr} if is_own(node.value) else set()
    return names


def is_own(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "super"
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def insides_faults(path: str, source: str) -> list[str]:
    """Other packages' private names, and Lightning's loops, wherever they are reached: import, attribute, string."""
    if room(path) in INSIDES:
        return []
    tree = ast.parse(source)
    own = own_private_names(tree)
    faults = []
    for name in imported(path, source):
        first, *rest = name.split(".")
        if (first in LIGHTNING and "loops" in rest) or (first != PACKAGE and any(map(is_private, rest))):
            faults.append(f"{path} imports {name}")
    for node in ast.walk(tree):
        name = None
        if isinstance(node, ast.Attribute) and not is_own(node.value):
            name = node.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            name = named_by_string(node)
        if name is not None and (
            name in LOOPS or (is_private(name) and name not in own | MARKS.get(room(path), set()))
        ):
            faults.append(f"{path}:{node.lineno} reaches for {name}")
    return faults


def named_by_string(call: ast.Call) -> str | None:
    by_name = isinstance(call.func, ast.Name) and call.func.id in ("getattr", "setattr", "hasattr", "delattr")
    if by_name and len(call.args) > 1 and not is_own(call.args[0]) and isinstance(call.args[1], ast.Constant):
        return str(call.args[1].value)
    return None


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield f"{prefix}{node.name}", node
        elif isinstance(node, ast.ClassDef):
            yield from functions(node, f"{prefix}{node.name}.")
        else:
            yield from functions(node, prefix)


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef, source: str) -> int:
    """Lines of the body that hold code: no docstring, no blank line, no comment of its own."""
    body = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
    if not body:
        return 0
    lines = source.splitlines()[body[0].lineno - 1 : function.end_lineno]
    return sum(1 for line in lines if line.strip() and not line.strip().startswith("#"))


def length_faults(path: str, source: str) -> list[str]:
    sizes = {path: (len(source.splitlines()), MAX_FILE_LINES)}
    for name, node in functions(ast.parse(source)):
        sizes[f"{path}:{name}"] = (code_lines(node, source), MAX_FUNCTION_LINES)
    return [
        f"{name} has {size} lines, more than {ALLOWED_LENGTH.get(name, most)}"
        for name, (size, most) in sizes.items()
        if size > ALLOWED_LENGTH.get(name, most)
    ]


def docstring_faults(path: str, source: str) -> list[str]:
    tree = ast.parse(source)
    faults = [] if ast.get_docstring(tree) else [f"{path} has no docstring"]
    excused = ("overload", "override", "setter")

    def look(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) or child.name[0] == "_":
                continue
            decorators = [ast.unparse(d).rpartition(".")[2] for d in child.decorator_list]
            if not ast.get_docstring(child) and not any(name in excused for name in decorators):
                faults.append(f"{path}: {prefix}{child.name} has no docstring")
            if isinstance(child, ast.ClassDef):
                look(child, f"{child.name}.")

    look(tree, "")
    return faults


def unit_test_of(path: str) -> str:
    """Where a module's unit tests are, from ``tests/unit`` on."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/test_{name}" if folder else f"test_{name}"


def modules_without_unit_test(paths: Iterable[str], tests: set[str]) -> list[str]:
    """Modules that have no unit test file; the ``__init__.py`` of a room says which names it has, and needs none."""
    return [path for path in paths if not path.endswith("/__init__.py") and unit_test_of(path) not in tests]


def unit_tests_without_module(tests: Iterable[str], paths: set[str]) -> list[str]:
    """Unit test files of no module: named ``test_<module>.py``, or ``test_<module>_<aspect>.py`` where one is long."""
    names = {path.rpartition("/")[::2] for path in paths}
    stems = {(folder, name.removesuffix(".py").strip("_")) for folder, name in names}

    def is_of_a_module(path: str) -> bool:
        folder, _, name = path.rpartition("/")
        words = name.removeprefix("test_").removesuffix(".py").split("_")
        return any((folder, "_".join(words[:n])) in stems for n in range(1, len(words) + 1))

    return sorted(path for path in tests if not is_of_a_module(path))


def unit_tests() -> set[str]:
    return {path.relative_to(UNIT).as_posix() for path in UNIT.rglob("test_*.py")}


def is_excused(path: str, exceptions: Iterable[str] = NO_UNIT_TEST) -> bool:
    """Whether a module, or its room, may lack a unit test file."""
    return any(path == excused or path.startswith(f"{excused}/") for excused in exceptions)


def imports_of_test_modules(source: str) -> list[str]:
    """What a file of the tests imports from a test module, or a test module itself."""
    return [name for name in imported("", source) if any(part.startswith("test_") for part in name.split("."))]


@pytest.mark.parametrize("path", modules())
def test_imports_go_one_way(path: str) -> None:
    assert direction_faults(path, read(path)) == []


@pytest.mark.parametrize("path", modules())
def test_insides_are_named_in_the_trainer_room_only(path: str) -> None:
    assert insides_faults(path, read(path)) == []


@pytest.mark.parametrize("path", modules())
def test_files_and_functions_stay_short(path: str) -> None:
    assert length_faults(path, read(path)) == []


@pytest.mark.parametrize("path", modules())
def test_public_names_say_what_they_are(path: str) -> None:
    assert docstring_faults(path, read(path)) == []


def test_no_modules_import_in_a_circle() -> None:
    known = set(modules())
    assert circle({path: modules_imported(path, read(path), known) for path in known}) == []


def test_the_top_level_has_at_most_a_dozen_entries() -> None:
    entries = {path.name for path in ROOT.iterdir() if path.name not in ("__pycache__", "py.typed")}
    assert entries == {name if (ROOT / name).is_dir() else f"{name}.py" for name in MAY_IMPORT}
    assert len(entries) <= 12


def test_no_room_is_a_lumber_room() -> None:
    lumber = {"utils.py", "util.py", "helpers.py", "misc.py", "common.py"}
    assert [path for path in modules() if path.split("/")[-1] in lumber] == []


def test_allowances_are_few_and_used() -> None:
    assert len(ALLOWED_LENGTH) <= 5
    for name, most in ALLOWED_LENGTH.items():
        path, _, function = name.partition(":")
        source = read(path)
        size = (
            code_lines(dict(functions(ast.parse(source)))[function], source) if function else len(source.splitlines())
        )
        limit = MAX_FUNCTION_LINES if function else MAX_FILE_LINES
        assert limit < size <= most, f"{name} has {size} lines: take its allowance away or keep to it"


def test_every_module_has_its_unit_test_file() -> None:
    lacking = set(modules_without_unit_test(modules(), unit_tests()))
    assert {path for path in lacking if not is_excused(path)} == set()
    assert [path for path in NO_UNIT_TEST if not any(is_excused(other, {path}) for other in lacking)] == [], (
        "take its exception away: it has a unit test file"
    )


def test_every_unit_test_file_is_of_a_module() -> None:
    assert unit_tests_without_module(unit_tests(), set(modules())) == []


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: path.relative_to(TESTS).as_posix())
def test_helpers_of_tests_live_in_helper_modules(path: Path) -> None:
    assert imports_of_test_modules(path.read_text(encoding="utf-8")) == []


# The tests below show that the tests above can fail.


def test_a_missing_unit_test_file_is_seen() -> None:
    paths = ["callback.py", "records/__init__.py", "records/trial.py", "trainer/snapshot/rng.py"]
    tests = {"test_callback.py", "records/test_trial.py", "trainer/snapshot/test_rng.py"}
    assert modules_without_unit_test(paths, tests) == []
    for path in ("callback.py", "records/trial.py", "trainer/snapshot/rng.py"):
        assert modules_without_unit_test(paths, tests - {unit_test_of(path)}) == [path]


def test_a_unit_test_file_of_no_module_is_seen() -> None:
    paths = {"policy.py", "report/html.py", "trainer/snapshot/rng.py"}
    right = ["test_policy.py", "report/test_html.py", "report/test_html_in_browser.py", "trainer/snapshot/test_rng.py"]
    assert unit_tests_without_module(right, paths) == []
    wrong = ["test_html.py", "report/test_htm.py", "report/test_in_browser.py", "trainer/test_rng.py"]
    assert unit_tests_without_module(wrong, paths) == sorted(wrong)


@pytest.mark.parametrize(
    "line",
    [
        "from tests.integration.identity.test_matrix import fit",
        "from tests.unit import test_policy",
        "def f():\n    import tests.unit.test_policy as p",
    ],
)
def test_an_import_of_a_test_module_is_seen(line: str) -> None:
    assert len(imports_of_test_modules(line)) == 1
    assert imports_of_test_modules("from tests.helpers.optimizers import sgd\nimport pytest") == []


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("records/trial.py", f"from {PACKAGE}.determinant.objective import Kappa"),
        ("records/trial.py", "import torch"),
        ("determinant/objective.py", f"import {PACKAGE}.callback"),
        ("determinant/determinant.py", f"from {PACKAGE}.trainer.snapshot.rng import RngState"),
        ("bayesopt/search.py", f"from {PACKAGE}.scheduler.search import HyperparameterScheduler"),
        ("bayesopt/search.py", f"from {PACKAGE} import trainer"),
        ("bayesopt/search.py", "from ..trainer import snapshot"),
        ("bayesopt/search.py", "from lightning.pytorch import Trainer"),
        ("bayesopt/model.py", "from torch import nn"),
        ("bayesopt/model.py", "import torch.nn.functional as F"),
        ("learning_rate/controller.py", "from lightning.pytorch import Trainer"),
        ("trainer/epoch_runner.py", f"from {PACKAGE}.bayesopt import BayesOpt"),
        ("trainer/epoch_runner.py", f"from {PACKAGE}.scheduler.fit import FitSession"),
        ("trainer/snapshot/objects.py", "from lightning.pytorch import Trainer"),
        ("report/plots.py", f"from {PACKAGE}.determinant.objective import Kappa"),
        ("report/plots.py", "def f():\n    import lightning.pytorch as pl"),
        ("scheduler/fit.py", f"if TYPE_CHECKING:\n    from {PACKAGE}.callback import GammaLRSearch"),
        ("cli/environment.py", f"from {PACKAGE}.trainer.epoch_runner import EpochRunner"),
        ("a_new_file.py", "import torch"),
    ],
)
def test_a_wrong_import_is_seen(path: str, line: str) -> None:
    assert len(direction_faults(path, line)) == 1


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("bayesopt/search.py", f"from {PACKAGE}.bayesopt.space import LearningRateSpace"),
        ("bayesopt/search.py", "from .space import LearningRateSpace"),
        ("bayesopt/search.py", f"from {PACKAGE}.records import Trial"),
        ("scheduler/fit.py", f"from {PACKAGE}.trainer.epoch_runner import EpochRunner"),
        ("callback.py", f"from {PACKAGE}.scheduler.fit import FitSession"),
        ("cli/main.py", f"from {PACKAGE}.trainer.compat import join_namespaces"),
        ("trainer/snapshot/trainer_state.py", "from lightning.pytorch import Trainer"),
        ("bayesopt/model.py", "import torch"),
        ("report/surrogate.py", f"def f():\n    from {PACKAGE}.bayesopt import make_search"),
        ("__init__.py", f"from {PACKAGE}.callback import GammaLRSearch"),
    ],
)
def test_a_right_import_is_let_through(path: str, line: str) -> None:
    assert direction_faults(path, line) == []


def test_a_circle_is_seen() -> None:
    edges = {"a.py": {"b.py"}, "b.py": {"c.py"}, "c.py": {"b.py"}, "d.py": set()}
    assert circle(edges) == ["a.py", "b.py", "c.py"]
    assert circle({**edges, "c.py": {"d.py"}}) == []
    assert modules_imported("a.py", f"from {PACKAGE}.b import f", {"a.py", "b.py"}) == {"b.py"}


@pytest.mark.parametrize(
    "line",
    [
        "from lightning.pytorch.loops import _FitLoop",
        "import pytorch_lightning.loops.fit_loop",
        "from lightning.pytorch.trainer.connectors import _signal",
        "from torch._utils import _flatten_dense_tensors",
        "trainer._data_connector",
        "self.trainer._results",
        "trainer.fit_loop.max_epochs",
        "getattr(trainer, '_loggers')",
        "setattr(trainer.strategy, '_lightning_optimizers', [])",
    ],
)
def test_insides_are_seen(line: str) -> None:
    assert insides_faults("callback.py", line)
    assert insides_faults("trainer/epoch_runner.py", line) == []


@pytest.mark.parametrize(
    "line",
    [
        "self._history",
        "super()._setup()",
        "def f(self, other):\n    self._x = 1\n    return other._x",
        "trainer.__class__",
        f"from {PACKAGE}.bayesopt._process import student_t",
        "getattr(trainer, 'callbacks')",
    ],
)
def test_own_private_names_are_let_through(line: str) -> None:
    assert insides_faults("callback.py", line) == []


def test_a_long_function_is_seen() -> None:
    body = "\n".join(f"    x{i} = {i}" for i in range(MAX_FUNCTION_LINES))
    fits = f'class A:\n  def f(self):\n    """Say.\n\n    Much.\n    """\n    # a comment\n\n{body}\n'
    assert length_faults("a.py", fits) == []
    assert length_faults("a.py", f"{fits}    y = 1\n") == ["a.py:A.f has 41 lines, more than 40"]


def test_a_long_file_is_seen() -> None:
    assert length_faults("a.py", "\n" * MAX_FILE_LINES) == []
    assert length_faults("a.py", "\n" * (MAX_FILE_LINES + 1)) == ["a.py has 331 lines, more than 330"]


def test_a_missing_docstring_is_seen() -> None:
    source = (
        '"""Module."""\nclass A:\n  """A."""\n  def f(self): ...\n  def _g(self): ...\nclass _B:\n  def f(self): ...\n'
    )
    assert docstring_faults("a.py", source) == ["a.py: A.f has no docstring"]
    assert docstring_faults("a.py", "def f(): ...") == ["a.py has no docstring", "a.py: f has no docstring"]
