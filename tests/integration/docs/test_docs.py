"""The docs build without a warning, and what README and docs show runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.house import RULES, drawing, epoch_drawing
from lightning_gammabo.policy import POLICIES, SearchPolicy
from tests.helpers.processes import run
from tests.integration.docs.pages import PAGES, ROOT, blocks_of, run_block, run_page

# pages with tests of their own
OWN = {Path("README.md"), Path("docs/cli.md"), Path("docs/start.md"), Path("docs/recipes_libraries.md")}


def read(page: Path) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def has_blocks(page: Path) -> bool:
    return any(block.runs for block in blocks_of(read(page)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", [page for page in PAGES if page not in OWN and has_blocks(page)], ids=str)
def test_the_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_page(page, tmp_path, monkeypatch)


@pytest.mark.filterwarnings("ignore")
def test_the_start_prints_what_it_says(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    page = Path("docs/start.md")
    assert run_page(page, tmp_path, monkeypatch) == 4
    (shown,) = [block.text for block in blocks_of(read(page)) if block.kind == "text"]
    assert " ".join(shown.split()) in caplog.messages
    out = capsys.readouterr().out
    assert "10 epochs trained, 1 searched with " in out


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_a_block_that_is_not_run_says_why(page: Path) -> None:
    for block in blocks_of(read(page)):
        assert block.not_run != "", f"{page}: write `<!-- not run: why -->` before\n{block.text}"


ROOT_PAGES = [Path(name) for name in ("CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md", "CHANGELOG.md")]
OWN_ADDRESS = re.compile(
    r"https://(?:raw\.githubusercontent|github)\.com/lightning-gammabo/lightning_gammabo/(?:blob/)?main/"
)


@pytest.mark.parametrize("page", [*PAGES, *ROOT_PAGES], ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", read(page), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    if page.name == "README.md":  # the index of packages shows it, too, without the clone
        assert [link for link in links if not link.startswith(("https://", "#"))] == []
    targets = [link for link in links if ":" not in link] + [
        f"/{OWN_ADDRESS.sub('', link)}" for link in links if OWN_ADDRESS.match(link)
    ]
    files = [
        (ROOT if link[0] == "/" else (ROOT / page).parent) / link.partition("#")[0].lstrip("/") for link in targets
    ]
    assert [file for file in files if not file.exists()] == []


def test_the_policies_page_has_the_fields() -> None:
    page = read(Path("docs/policies_reference.md"))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:2] == "| "]
    header = ["field", *(f"`{name}`" for name in POLICIES)]
    begin = rows.index(header) + 2 - 1  # the ruler is no row
    names = list(SearchPolicy.__dataclass_fields__)
    expected = [[f"`{name}`", *(repr(getattr(policy, name)) for policy in POLICIES.values())] for name in names]
    assert rows[begin + 1 : begin + 1 + len(expected)] == expected


def test_the_house_page_has_the_import_table() -> None:
    table = read(Path("docs/house.md")).partition("## Who may import whom")[2].partition("##")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line[:3] == "| `"]
    shown = {room.strip("`"): set(re.findall(r"`([\w.]+)`", others)) for room, others in rows}
    assert shown == RULES


def test_the_pictures_of_the_house_are_of_today() -> None:
    assert (ROOT / "docs" / "images" / "house-rooms.svg").read_text(encoding="utf-8") == drawing(RULES)
    assert (ROOT / "docs" / "images" / "house-epoch.svg").read_text(encoding="utf-8") == epoch_drawing()


def test_a_room_below_another_is_not_drawn_above_it() -> None:
    with pytest.raises(ValueError, match="the room records needs a floor above"):
        drawing(RULES | {"records": {"cli"}})


@pytest.mark.slow
def test_the_docs_build(tmp_path: Path) -> None:
    for module in ("sphinx", "myst_parser", "furo"):
        pytest.importorskip(module, reason="the docs are built with make setup")
    run("tests.integration.docs.build", str(ROOT / "docs"), str(tmp_path), out=tmp_path / "out", error=tmp_path / "err")
    pages = {path.stem for path in PAGES if path.parent == Path("docs")}
    assert {path.stem for path in (tmp_path / "html").glob("*.html")} >= pages
    assert 'id="lightning_gammabo.GammaLRSearch"' in (tmp_path / "html" / "api.html").read_text(encoding="utf-8")


# That the tests above can fail.


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("```python\nassert 1 == 2\n```\n", AssertionError),
        ("```pycon\n>>> 1 + 1\n3\n```\n", AssertionError),
        ("  ```pycon\n  >>> 1 + 1\n  3\n  ```\n", AssertionError),
        ("```yaml\na: [\n```\n", Exception),
        ("```bash\nls\n```\n", AssertionError),
        ("```rust\nfn\n```\n", AssertionError),
    ],
)
def test_a_wrong_block_is_seen(
    text: str, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = blocks_of(text)
    with pytest.raises(error):
        run_block(block, tmp_path, monkeypatch, {})


def test_blocks_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        "<!-- not run: it needs two GPUs -->\n```bash\npython x.py\n```\n\n<!-- not run -->\n```python\n1\n```\n"
        "```text\nshown\n```\n- a list\n\n  ```python\n  x = 1\n  y = 2\n  ```\n```bash\npip install x\nmake y\n```\n"
    )
    first, second, shown, indented, installs = blocks_of(text)
    assert (first.not_run, second.not_run, shown.kind, shown.not_run) == ("it needs two GPUs", "", "text", None)
    names: dict[str, int] = {}
    run_block(indented, tmp_path, monkeypatch, names)
    assert (names["x"], names["y"]) == (1, 2)
    assert [block.runs for block in (first, second, shown, indented, installs)] == [False, False, False, True, False]
