import re
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields, is_dataclass
from importlib.metadata import EntryPoint

import pytest

from napari_restore import methods
from napari_restore.core.errors import RestoreError
from napari_restore.methods.method import Method


@pytest.mark.parametrize("name", methods.METHODS)
def test_every_row_leads_to_a_method_that_describes_itself(name):
    kind = methods.find(name)
    assert issubclass(kind, Method)
    assert kind.label and re.search(r"doi:10\.\d{4,}/\S+|arXiv:\d{4}\.\d{4,5}", kind.citation)
    assert {*kind.needs, *kind.takes} <= {"second", "target"}
    assert 0 < kind.learning_rate < 0.1 and (kind.clip is None or kind.clip > 0)
    assert is_dataclass(kind.Config) and kind.Config.__dataclass_params__.frozen
    assert kind.efforts.keys() == {"quick", "normal", "thorough"}
    known = {f.name for f in fields(kind.Config)}
    for effort in kind.efforts.values():
        assert effort.seconds > 0 and effort.config.keys() <= known
        methods.configure(name, effort.config)


def test_listing_names_loads_no_torch():
    code = "import sys, napari_restore.methods as m; assert m.names(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_other_packages_add_theirs_by_an_entry_point(monkeypatch):
    entry = EntryPoint("mine", "napari_restore.methods.noise2void:Noise2Void", methods.ENTRY_POINTS)
    monkeypatch.setattr(methods, "entry_points", lambda group: [entry] if group == methods.ENTRY_POINTS else [])
    assert methods.find("mine") is methods.find("noise2void")


def test_an_unknown_method_is_named_with_those_there_are():
    with pytest.raises(RestoreError, match=r"no method 'n2v'.*noise2void"):
        methods.find("n2v")


def test_settings_are_checked_and_the_rest_is_as_usual():
    config = methods.configure("noise2void", {"masked": 0.02, "width": 8})
    assert (config.masked, config.width, config.depth) == (0.02, 8, 2)
    with pytest.raises(FrozenInstanceError):
        config.width = 3


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"widht": 8}, "no setting 'widht'; there are .*masked.*width"),
        ({"width": 1}, "width = 1: .*greater than or equal to 2"),
        ({"width": 257}, "width = 257: .*less than or equal to 256"),
        ({"width": "wide"}, "width = 'wide'"),
        ({"width": 2.5}, "width = 2.5"),
        ({"masked": 0}, "masked = 0"),
        ({"masked": 0.26}, "masked = 0.26: .*0.25"),
        ({"masked": float("nan")}, "masked = nan"),
        ({"sampler": "random"}, "sampler = 'random': .*'stratified' or 'uniform'"),
        ({"depth": 0}, "depth = 0"),
        ({"neighbourhood": 9}, "neighbourhood = 9"),
        ({"dimensions": "4"}, "dimensions = '4'"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_on_one_line(settings, words):
    with pytest.raises(RestoreError, match=f"Noise2Void.* {words}") as error:
        methods.configure("noise2void", settings)
    assert "\n" not in str(error.value)
