"""The pages say what is there: links that lead somewhere, pictures that are shown, a section for every method."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from napari_restore.methods import METHODS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md"]
PAGES += sorted((ROOT / "docs").glob("*.md"))

PACKAGE = ROOT / "src" / "napari_restore"
ROOMS = sorted(page.parent for page in PACKAGE.glob("*/README.md"))

LINK = re.compile(r"(?<!\\)\]\(\s*([^)\s]+)[^)]*\)")
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def prose(page: Path) -> str:
    """A page without its code: in that, brackets are indices."""
    return re.sub(r"^(```|~~~).*?^\1|`[^`]*`", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def links(text: str) -> Iterator[str]:
    """Where a text points to within the repository."""
    return (target for target in LINK.findall(text) if not ELSEWHERE.match(target))


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in links, by GitHub's rule."""
    text = re.sub(r"^(```|~~~).*?^\1", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", text, flags=re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        name = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        found.add(name if name not in found else f"{name}-{sum(n.startswith(name) for n in found)}")
    return found


def broken(page: Path) -> list[str]:
    """Links of a page that lead to no file, or to no heading of one."""
    wrong = []
    for target in links(prose(page)):
        name, _, anchor = target.partition("#")
        there = (page.parent / name) if name else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            wrong.append(target)
    return wrong


def test_what_is_broken_is_found(tmp_path):
    (tmp_path / "b.md").write_text("# One *word*, `two`!\n\n## [Linked](x.md) again\n\n```\n# no heading\n```\n")
    page = tmp_path / "a.md"
    page.write_text(
        "[1](b.md) [2](b.md#one-word-two) ![3\nlines](b.md#linked-again) [out](https://x.org/none) `x[0](y)`\n"
        "[4](b.md#no-heading) [5](none.md) [6](#nowhere)\n\n```python\nx[0](z)\n```\n"
    )
    assert broken(page) == ["b.md#no-heading", "none.md", "#nowhere"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page):
    assert broken(page) == []


def test_every_picture_is_shown():
    shown = {(page.parent / target).resolve() for page in PAGES for target in links(prose(page))}
    pictures = {path.resolve() for path in (ROOT / "docs" / "images").iterdir()}
    assert pictures, "there are some"
    assert sorted(path.name for path in pictures - shown) == []


def test_every_method_has_a_section():
    page = (ROOT / "docs" / "methods.md").read_text("utf-8")
    headings = " ".join(re.findall(r"^### (.+)$", page, flags=re.MULTILINE)).split()
    assert sorted(set(METHODS) - set(headings)) == []


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_a_room_s_readme_names_the_files_that_are_there(room):
    named = set(re.findall(r"`([\w./-]+\.py)`", (room / "README.md").read_text("utf-8")))
    there = {path.relative_to(room).as_posix() for path in room.rglob("*.py") if path.name != "__init__.py"}
    assert sorted(there - named) == [], "these are not named"
    places = (room, PACKAGE, ROOT)
    assert sorted(name for name in named if not any((place / name).is_file() for place in places)) == []


def test_a_package_index_is_given_whole_addresses():
    """What the build makes of the README: there, nothing lies beside it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    text = (ROOT / "README.md").read_text("utf-8")
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    assert pictures and not any(ELSEWHERE.match(target) for target in pictures)
    for change in project["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(change["pattern"], change["replacement"], text)
    assert [target for target in links(text) if not target.startswith("#")] == []
    source = project["project"]["urls"]["Source Code"].removeprefix("https://github.com/")
    raw = [f"https://raw.githubusercontent.com/{source}/main/{target}" for target in pictures]
    assert re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text) == raw
    assert f"](https://github.com/{source}/blob/main/docs/denoising.md#how-good)" in text


def test_the_page_of_papers_is_what_its_script_writes(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    script = import_module("papers")
    monkeypatch.delitem(sys.modules, "papers")
    assert (ROOT / "docs" / "papers.md").read_text("utf-8") == script.page()


@pytest.fixture
def figures(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    script = import_module("figures")
    monkeypatch.delitem(sys.modules, "figures")
    return script


def test_figures_in_the_pages_are_those_of_the_results(figures):
    """``python docs/figures.py`` writes them."""
    marked = [name for page in figures.PAGES for name in re.findall(r"<!-- figures: (.+) -->", page.read_text("utf-8"))]
    assert sorted(marked) == sorted(figures.TABLES)
    for page in figures.PAGES:
        text = page.read_text("utf-8")
        assert figures.fill(text, page.name) == text, f"{page.name} is older than its results"


def test_a_figure_that_is_not_in_the_results_is_found(figures):
    text = (ROOT / "docs" / "super-resolution.md").read_text("utf-8")
    changed = text.replace("| 27.57 dB | 28.75 dB |", "| 27.57 dB | 29.75 dB |")
    assert changed != text and figures.fill(changed, "super-resolution.md") == text
    with pytest.raises(AssertionError, match="no row is called"):
        figures.fill(text.replace("| 3 × finer |", "| three times finer |"), "super-resolution.md")


def test_a_figure_in_a_sentence_that_is_not_in_the_results_is_found(figures):
    text = (ROOT / "docs" / "deblurring.md").read_text("utf-8")
    changed = text.replace("the blurred images have 23.98 dB", "the blurred\nimages have 22 dB")
    assert figures.fill(changed, "deblurring.md") == text.replace("the blurred images", "the blurred\nimages")
    with pytest.raises(ValueError, match="not enough values"):
        figures.fill(text.replace("the blurred images have", "they have"), "deblurring.md")


NOT_MEASURED = ("Above 0.2 dB that is a warning",)
"""Limits that are set."""


@pytest.mark.parametrize("name", ["README.md", *sorted(page.name for page in (ROOT / "docs").glob("*.md"))])
def test_each_measured_figure_is_written_from_results_or_says_where_it_is_from(name, figures):
    [page] = [page for page in figures.PAGES if page.name == name]
    if name != "papers.md":  # written whole from results
        left = figures.unsourced(page.read_text("utf-8"), name)
        assert [each for each in left if not any(words in " ".join(each.split()) for words in NOT_MEASURED)] == []


def test_a_figure_from_nowhere_is_found(figures):
    page = (
        "It gains 3.2 dB.\n\nIt gains 3.2 dB (`benchmarks/x.py`).\n\n| a | 3.2 dB |\n\n`x.json`\n\n- at 5 Mpx/s\n- no"
    )
    assert figures.unsourced(page, "x.md") == ["It gains 3.2 dB.", "- at 5 Mpx/s"]


def test_the_changes_the_recipe_and_the_citation_have_the_version_that_the_package_has():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    versions = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), flags=re.MULTILINE)
    assert next(each for each in versions if each != "Unreleased") == project["version"]
    recipe = (ROOT / "recipe" / "recipe.yaml").read_text("utf-8")
    assert f'version: "{project["version"]}"' in recipe
    cited = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"\nversion: {project['version']}\n" in cited and f"\nlicense: {project['license']}\n" in cited


def test_the_hub_is_told_where_to_look_and_whom_to_ask():
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]
    assert {"Source Code", "Bug Tracker", "Documentation", "User Support"} < urls.keys()


def test_the_conda_recipe_asks_for_what_the_package_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    recipe = (ROOT / "recipe" / "recipe.yaml").read_text("utf-8")
    wanted = [*project["dependencies"], *project["optional-dependencies"]["gui"]]
    called = {"torch": "pytorch", "dask": "dask-core", "napari": "napari"}
    for each in wanted:
        name, floor = re.fullmatch(r"([\w.-]+)(?:\[\w+\])?>=([\w.]+)(?:;.*)?", each).groups()
        assert f"- {called.get(name, name)} >={floor}\n" in recipe, each


FOUND_BY_OTHERS = {
    "pyjpegls": "pydicom decodes JPEG-LS with it",
    "pylibjpeg": "pydicom decodes JPEG with it",
    "pylibjpeg-openjpeg": "pydicom decodes JPEG 2000 with it",
}
"""What is asked for and imported by nobody here, and why."""


def test_what_the_package_asks_for_it_uses():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    imported = set()
    for file in PACKAGE.rglob("*.py"):
        imported |= set(re.findall(r"^\s*(?:import|from) (\w+)", file.read_text("utf-8"), flags=re.MULTILINE))
    called = {"pillow": "PIL", "scikit-image": "skimage"}
    names = [re.match(r"[\w-]+", each)[0] for each in project["dependencies"]]
    unused = {name for name in names if called.get(name, name.replace("-", "_")) not in imported}
    assert unused == set(FOUND_BY_OTHERS)
