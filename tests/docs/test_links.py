"""Links between pages lead somewhere, and every page can be reached from the README."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs.pages import ROOT, Page, pages

PAGES = pages()
BY_PATH = {page.path: page for page in PAGES}


def _targets(page: Page) -> Iterator[tuple[str, Path, str]]:
    """The links of *page* that stay in the project: as written, the file, the anchor."""
    for link in page.links:
        parts = urlsplit(link)
        if not parts.scheme and not parts.netloc:
            path = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path
            yield link, path, unquote(parts.fragment)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_links_of_a_page_lead_to_a_file_of_the_project(page: Page) -> None:
    lost = [link for link, path, _ in _targets(page) if not (path.exists() and path.is_relative_to(ROOT))]

    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_anchors_that_a_page_links_to_are_headings(page: Page) -> None:
    lost = [link for link, path, anchor in _targets(page) if anchor and anchor not in BY_PATH[path].anchors]

    assert lost == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    wanted = [ROOT / "README.md"]
    while wanted:
        path = wanted.pop()
        if path not in reached and path in BY_PATH:
            reached.add(path)
            wanted += [target for _, target, _ in _targets(BY_PATH[path])]
            wanted += [page.path for page in PAGES if path.is_dir() and page.path.is_relative_to(path)]

    linked_folders = {target for path in reached for _, target, _ in _targets(BY_PATH[path]) if target.is_dir()}
    lost = [
        page.name
        for page in PAGES
        if page.path not in reached and not any(page.path.parent == folder for folder in linked_folders)
    ]
    assert lost == []
