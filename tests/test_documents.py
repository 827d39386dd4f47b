"""What the documents refer to is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLACES = ("*.md", "docs/**/*.md", "benchmarks/*.md", "examples/*/README.md")
FOLDERS = ("actors", "benchmarks", "compat", "examples", "runtime", "storage", "tests")
DOCUMENTS = sorted(path for place in PLACES for path in ROOT.glob(place))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_each_link_leads_to_a_file_and_a_heading(path: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", path.read_text())
    targets = [
        ((path.parent / file).resolve() if file else path, heading) for file, heading in links
    ]

    assert [str(target) for target, _ in targets if not target.exists()] == []
    assert [
        (target.name, heading)
        for target, heading in targets
        if heading and heading not in headings(target)
    ] == []


def test_each_module_that_is_named_is_there() -> None:
    there = [str(path) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]

    missing = {
        (path.name, name)
        for path in DOCUMENTS
        if path.name != "CHANGELOG.md"
        for name in re.findall(r"`([\w/]+\.py)`", path.read_text())
        if not any(module.endswith(f"/{name}") for module in there)
    }

    assert missing == set()


def test_the_readme_leads_to_every_page() -> None:
    readme = (ROOT / "README.md").read_text()

    pages = {f"docs/{path.name}" for path in ROOT.glob("docs/*.md")}
    assert {page for page in pages if f"]({page})" not in readme} == set()


def test_each_invariant_is_shown_by_what_is_there() -> None:
    page = (ROOT / "docs" / "invariants.md").read_text()

    named = re.findall(r"`([\w/]+\.py)::(\w+)`", page)
    assert len(named) > 60
    assert [
        f"{path}::{name}"
        for path, name in named
        if not re.search(rf"^(def|class) {name}\b|^{name} = ", text_of(path), re.MULTILINE)
    ] == []


def text_of(path: str) -> str:
    """Return the text of a module of the tests; of one that is not there, none."""
    module = ROOT / "tests" / path
    return module.read_text() if module.exists() else ""


def headings(path: Path) -> set[str]:
    """Return what the headings of a document are linked by."""
    titles = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", title.lower()).replace(" ", "-") for title in titles}
