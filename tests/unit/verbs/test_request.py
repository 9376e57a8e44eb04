"""A request is made at the door: options find their groups, and what is wrong is refused before anything is opened."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import fields
from typing import Any

import pytest

import napari_restore
from napari_restore.core.errors import RestoreError
from napari_restore.core.job import PreviewRequest
from napari_restore.core.options import GROUPS
from napari_restore.verbs import VERBS
from napari_restore.verbs.help import WATCHING, signature_of, text_of
from napari_restore.verbs.request import REQUIRED, ask, options_of, own_of

NEEDED: dict[str, dict[str, Any]] = {
    "deblur": {"psf": "gaussian:1"},
    "distill": {"model": "m.safetensors"},
    "restore": {"model": "m.safetensors"},
    "restore_folder": {"model": "m.safetensors", "output": "out"},
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_ends_in_its_group_and_nothing_else_does(verb: str) -> None:
    given = {option.name: option.default for option in options_of(verb) if option.default is not REQUIRED}
    request = ask(verb, "nowhere.tif", **{**given, **NEEDED.get(verb, {})})
    assert request.config == {}
    for option in options_of(verb):
        holder = request.own if option.group is own_of(VERBS[verb]) else getattr(request, option.group.__name__.lower())
        expected = NEEDED.get(verb, {}).get(option.name, option.default)
        assert getattr(holder, option.name) == expected


@pytest.mark.parametrize("verb", VERBS)
def test_what_a_verb_lacks_is_an_option_of_its_groups_and_is_refused_with_the_reason(verb: str) -> None:
    row = VERBS[verb]
    there = {field.name for group in row.groups for field in fields(group)}
    assert set(row.lacks) <= there and set(row.defaults) <= there
    for name, why in row.lacks.items():
        with pytest.raises(RestoreError, match=f"`{name}`") as refused:
            ask(verb, "nowhere.tif", **NEEDED.get(verb, {}), **{name: None})
        assert why in str(refused.value)


def test_what_is_unknown_is_a_setting_of_the_method_or_refused() -> None:
    assert ask("denoise", "a.tif", width=48).config == {"width": 48}
    with pytest.raises(RestoreError, match="restore has no option 'width'; there are model, "):
        ask("restore", "a.tif", model="m", width=48)


def test_what_is_needed_is_asked_for_with_its_meaning() -> None:
    with pytest.raises(RestoreError, match=r"deblur needs `psf`\. ``gaussian:STD``"):
        ask("deblur", "a.tif")
    with pytest.raises(RestoreError, match="there is no verb 'blur'"):
        ask("blur", "a.tif")


def test_no_option_of_a_verb_hides_one_of_its_groups_in_the_signature() -> None:
    for verb in VERBS:
        names = [option.name for option in options_of(verb)]
        assert len(names) == len(set(names)), verb


@pytest.mark.parametrize("verb", VERBS)
def test_help_names_and_explains_every_option(verb: str) -> None:
    for name in (verb, f"{verb}_events"):
        function = getattr(napari_restore, name)
        assert function.__name__ == name and inspect.signature(function) == signature_of(verb)
        assert "Annotated" not in str(inspect.signature(function)), "bounds are for the checks, and in the text"
        text = inspect.getdoc(function) or ""
        for option in options_of(verb):
            assert f"\n{option.name}\n    " in text and len(option.text) > 10, option.name
        for watching in WATCHING:
            assert f"\n{watching}\n    " in text
    assert "Parameters\n----------\n" in text_of(verb, events=False)


def test_the_groups_are_the_only_ones() -> None:
    assert {group for row in VERBS.values() for group in row.groups} == set(GROUPS)


def test_asking_loads_no_torch_and_opens_nothing() -> None:
    code = (
        "import sys; from napari_restore.verbs.request import ask; from napari_restore.verbs.words import as_command; "
        "print(as_command(ask('deblur', 'nowhere.tif', psf='gaussian:1', steps=3))); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (
        done.stdout.strip()
        == "napari-restore deblur nowhere.tif -o nowhere_deblurred.ome.zarr --psf gaussian:1 --steps 3"
    )


def test_a_job_shows_previews_and_stops_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def run(request: Any, watch: Any) -> Any:
        seen.append(watch)
        yield from ()

    monkeypatch.setattr("napari_restore.verbs.run.run", run)
    preview = PreviewRequest()
    job = napari_restore.submit("train", "nowhere.tif", preview=preview)
    assert job.result(timeout=30) is None
    job.stop()
    assert seen[0].preview is preview and seen[0].stopping
