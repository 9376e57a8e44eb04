"""What can be set of a method, told of its config: the window and the shell show it, so it has to be whole and true."""

from __future__ import annotations

import dataclasses
import inspect
import json
from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Gt, Interval, Lt

import napari_restore
from napari_restore import methods
from napari_restore.core.checked import allows, hints_of
from napari_restore.core.errors import RestoreError
from napari_restore.core.explained import explained
from napari_restore.core.options import GROUPS
from napari_restore.methods.settings import Setting, setting_of, settings_of

VERBS = ("denoise_events", "super_resolve_events", "deblur_events", "train_events", "restore_events", "estimate_cost")
HANDED_ON = {"psf", "noise", "factor", "thickness"}
"""What super-resolving and deblurring ask for and hand on to the method: one thing, with one name on purpose."""


def config_of(method):
    return methods.find(method).Config


@pytest.mark.parametrize("method", methods.METHODS)
def test_every_field_is_a_setting_unless_the_images_settle_it(method):
    fields = dataclasses.fields(config_of(method))
    settled = {field.name for field in fields if field.default == ()}
    assert [setting.name for setting in settings_of(method)] == [f.name for f in fields if f.name not in settled]


@pytest.mark.parametrize("method", methods.METHODS)
def test_every_field_of_every_method_is_explained(method):
    said = explained(config_of(method))
    assert said.keys() == {field.name for field in dataclasses.fields(config_of(method))}, "and no other is"
    assert all(text.endswith(".") and len(text) > 10 for text in said.values())
    assert not any("``" in setting.tip or not setting.tip for setting in settings_of(method))


@pytest.mark.parametrize("method", methods.METHODS)
def test_what_a_setting_says_of_itself_the_method_takes(method):
    hints = hints_of(config_of(method))
    for setting in settings_of(method):
        usual = getattr(methods.configure(method, {}), setting.name)
        assert setting.usual == usual and allows(hints[setting.name], usual)
        if setting.kind == "choice":
            assert usual in setting.choices and all(map(setting.allowed.__contains__, setting.choices))
        elif setting.kind in ("whole", "number"):
            for bound in (setting.low, setting.high):
                methods.configure(method, {setting.name: int(bound) if setting.kind == "whole" else bound})
            if setting.kind == "whole":
                for past in (int(setting.low) - 1, int(setting.high) + 1):
                    with pytest.raises(RestoreError, match=setting.name):
                        methods.configure(method, {setting.name: past})


@pytest.mark.parametrize("method", methods.METHODS)
def test_no_setting_shares_its_name_with_an_option(method):
    """Settings stand flat beside the options, ``denoise(image, width=32, seed=1)``: one name can mean one thing."""
    options = {field.name for group in GROUPS for field in dataclasses.fields(group)}
    asked = {name for verb in VERBS for name in inspect.signature(getattr(napari_restore, verb)).parameters}
    assert {"second", "target", "seed"} <= options and {"method", "model", "psf"} <= asked, "the test can see some"
    settings = {field.name for field in dataclasses.fields(config_of(method))}
    assert not settings & (options | (asked - HANDED_ON))


def test_what_the_effort_decides_is_told_for_each():
    shown = {setting.name: setting for setting in settings_of("noise2void")}
    assert shown["width"].by_effort == {"quick": 16, "normal": 16, "thorough": 32}
    assert shown["width"].alone == shown["depth"].alone == "from effort"
    assert not shown["masked"].alone and not shown["masked"].by_effort
    assert {s.name for s in settings_of("posterior") if s.alone == "auto"} == {"noise"}


@pytest.mark.parametrize("method", methods.METHODS)
def test_settings_survive_json(method):
    for setting in settings_of(method):
        told = dataclasses.asdict(setting)
        assert json.loads(json.dumps(told)) == {**told, "choices": list(told["choices"]), "default": as_list(told)}


def as_list(told):
    return list(told["default"]) if isinstance(told["default"], tuple) else told["default"]


@pytest.mark.parametrize(
    ("hint", "default", "expected"),
    [
        (int, 3, Setting("x", "whole", 3)),
        (bool, True, Setting("x", "switch", True)),
        (str, "a", Setting("x", "text", "a")),
        (Annotated[int, Gt(1), Lt(9)], 3, Setting("x", "whole", 3, low=2, high=8)),
        (Annotated[float, Ge(0.5)], 1.0, Setting("x", "number", 1.0, low=0.5)),
        (Annotated[float, Interval(gt=0, le=2)], 1.0, Setting("x", "number", 1.0, low=1e-4, high=2)),
        (Literal["a", "b"], "b", Setting("x", "choice", "b", choices=("a", "b"))),
        (Literal["auto"] | Annotated[int, Ge(2)], "auto", Setting("x", "whole", 2, low=2, alone="auto")),
        (tuple[Annotated[float, Interval(ge=0, le=1)], ...], (0.5,), Setting("x", "numbers", (0.5,), low=0, high=1)),
        (int | dict[str, int], 2, Setting("x", "by axis", 2)),
        (tuple[float, ...], (), None),
        (float | dict[str, int], 2, None),
        (dict[str, int], {}, None),
    ],
)
def test_a_type_decides_how_a_field_is_set(hint, default, expected):
    assert setting_of("x", hint, default) == expected


def test_docstrings_explain_the_fields_of_the_bases_too():
    @dataclasses.dataclass(frozen=True)
    class Base:
        """A config.

        Attributes
        ----------
        one, two
            Both ``alike``,
            on two lines.
        """

        one: int = 1
        two: int = 2

    class Further(Base):
        """Without a section."""

    assert explained(Further) == {"one": "Both ``alike``, on two lines.", "two": "Both ``alike``, on two lines."}
