"""Pages of the site that are no files of this folder: the README, what changed, security, and the public functions.

A hook of mkdocs (`mkdocs build`): links that lead out of this folder are turned to these pages, or to the repository.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

import napari_restore

ROOT = Path(__file__).parent.parent
PAGES = {"index.md": "README.md", "changelog.md": "CHANGELOG.md", "security.md": "SECURITY.md"}
REPOSITORY = "https://github.com/napari-restore/napari-restore/blob/main/"
_LINK = re.compile(r"(\]\()(?!\w+:|#)([^)#\s]+)(#[^)\s]*)?(\))")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages."""
    for name, source in PAGES.items():
        files.append(File.generated(config, name, content=(ROOT / source).read_text(encoding="utf-8")))
    names = [n for n in napari_restore.__dir__() if not n.startswith("_")]
    # A row of functions, each explained by its own text, which is what `help` says, too.
    listed = "\n".join(f"::: napari_restore.{name}" for name in sorted(names))
    files.append(File.generated(config, "api.md", content=f"# Functions\n\n{listed}\n"))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links as the site has them."""
    here = ROOT / (PAGES.get(page.file.src_uri) or f"docs/{page.file.src_uri}")
    there = {ROOT / source: name for name, source in PAGES.items()}

    def turned(found: re.Match[str]) -> str:
        opened, target, anchor, closed = found[1], found[2], found[3] or "", found[4]
        path = (here.parent / target).resolve()
        if path in there:
            return f"{opened}{there[path]}{anchor}{closed}"
        if path.is_relative_to(ROOT / "docs") and path.is_file() and path.suffix != ".py":
            return f"{opened}{path.relative_to(ROOT / 'docs').as_posix()}{anchor}{closed}"
        if path.is_relative_to(ROOT):
            return f"{opened}{REPOSITORY}{path.relative_to(ROOT).as_posix()}{anchor}{closed}"
        return found[0]

    return _LINK.sub(turned, markdown)
