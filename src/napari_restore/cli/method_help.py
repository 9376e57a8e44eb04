"""What a method is and what can be set of it, for ``napari-restore methods NAME``: one object, or lines to read."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from napari_restore import methods
from napari_restore.methods.settings import Setting, settings_of


def method_facts(name: str) -> dict[str, Any]:
    """What a method is and what can be set of it, for JSON.

    Raises
    ------
    RestoreError
        If there is no method of that name.
    """
    row = methods.listed(name)
    return {
        "name": name,
        "label": row.label,
        "tip": row.tip,
        "needs": list(row.needs),
        "takes": list(row.takes),
        "seconds": dict(row.seconds),
        "learns": row.learns,
        "citation": row.citation,
        "settings": [_facts_of(setting) for setting in settings_of(name)],
    }


def in_lines(facts: Mapping[str, Any]) -> str:
    """The same to read, as wide as the terminal."""
    width = max(shutil.get_terminal_size().columns, 40)
    return "\n".join(_wrapped(line, width) for line in _lines(facts))


def _lines(facts: Mapping[str, Any]) -> Iterator[str]:
    yield f"{facts['label']}. {facts['tip']}".strip()
    yield f"needs: {_options(facts['needs']) or 'nothing but the noisy image'}"
    if facts["takes"]:
        yield f"can use: {_options(facts['takes'])}"
    seconds = facts["seconds"]
    if facts["learns"]:
        yield f"trains for: {', '.join(f'{effort} {n:g} s' for effort, n in seconds.items())}"
    else:
        yield f"does not train: its settings are chosen in about {sum(seconds.values()):g} s"
    yield f"cite: {facts['citation']}"
    yield ""
    yield "Settings, for --set NAME=VALUE:"
    for setting in facts["settings"]:
        yield f"{setting['name']}: {setting['allowed']}; {_usually(setting)}"
        yield f"    {setting['meaning']}"


def _wrapped(line: str, width: int) -> str:
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.fill(line.strip(), width, initial_indent=indent, subsequent_indent=indent)


def _options(names: list[str]) -> str:
    return ", ".join(f"--{name}" for name in names)


def _usually(setting: Mapping[str, Any]) -> str:
    """Such as ``usually 16, thorough 32``: an effort is named where it has another value."""
    usual = setting["default"]
    others = [f"{effort} {value}" for effort, value in setting["by_effort"].items() if value != usual]
    return ", ".join([f"usually {usual if isinstance(usual, str) and usual else json.dumps(usual)}", *others])


def _facts_of(setting: Setting) -> dict[str, Any]:
    low, high = setting.limits
    return {
        "name": setting.name,
        "type": setting.kind,
        "allowed": setting.allowed,
        "low": low,
        "high": high,
        "choices": list(setting.choices),
        "default": setting.usual,
        "by_effort": dict(setting.by_effort),
        "meaning": setting.tip,
    }
