"""The doors side by side: every option of every verb, in a script, in the shell and in the window.

``pytest -s`` prints the table. A cell that is empty is named below, with its reason; one that is filled and named, or
empty and not named, fails.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping

import pytest
import typer

import napari_restore
from napari_restore.cli.commands import app
from napari_restore.gui.restore.doors import IN_THE_WINDOW, NOT_IN_THE_WINDOW
from napari_restore.verbs import VERBS
from napari_restore.verbs.flags import flag_of
from napari_restore.verbs.request import options_of
from napari_restore.verbs.words import command_of

_SHELL: Mapping[str, str] = {
    "output": "-o",
    "save_model": "-o",
}
"""Options that the shell has under another word: the result of a verb is always ``-o``."""


def shell_flags(verb: str) -> dict[str, str]:
    """What the shell offers of a verb: its flags by the option's name."""
    command = typer.main.get_command(app).commands[command_of(verb)]  # type: ignore[attr-defined]
    return {parameter.name: parameter.opts[-1] for parameter in command.params}


@pytest.mark.parametrize("verb", VERBS)
def test_a_script_takes_every_option(verb: str) -> None:
    signature = inspect.signature(getattr(napari_restore, verb))
    assert {option.name for option in options_of(verb)} <= set(signature.parameters)


@pytest.mark.parametrize("verb", VERBS)
def test_the_shell_has_a_flag_for_every_option(verb: str) -> None:
    flags = shell_flags(verb)
    for option in options_of(verb):
        assert flags[option.name] in (flag_of(option.name), "-o", "--output"), option.name


@pytest.mark.parametrize("verb", VERBS)
def test_the_window_has_every_option_or_says_why_not(verb: str) -> None:
    for option in options_of(verb):
        there, why = option.name in IN_THE_WINDOW[verb], NOT_IN_THE_WINDOW[verb].get(option.name)
        assert there != bool(why), f"{verb} {option.name}: in the window {there}, reason {why!r}"


@pytest.mark.parametrize("verb", VERBS)
def test_an_option_that_a_verb_lacks_is_missing_at_every_door(verb: str) -> None:
    signature = inspect.signature(getattr(napari_restore, verb))
    for name in VERBS[verb].lacks:
        assert name not in signature.parameters and name not in shell_flags(verb)
        assert name not in IN_THE_WINDOW[verb] and name not in NOT_IN_THE_WINDOW[verb]


def test_the_table() -> None:
    """Printed for whoever wants to see it; it says what the tests above hold."""
    names = sorted({option.name for verb in VERBS for option in options_of(verb)})
    lines = [f"{'':16}" + "".join(f"{verb:>18}" for verb in VERBS)]
    for name in names:
        cells = []
        for verb in VERBS:
            known = {option.name for option in options_of(verb)}
            window = "w" if name in IN_THE_WINDOW[verb] else "-"
            cells.append(f"{'sc' + window if name in known else '':>18}")
        lines.append(f"{name:16}" + "".join(cells))
    print("\n".join(["", "s script, c command, w window; empty: the verb lacks it", *lines]))
    assert len(lines) > 30
