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
    row, kind = methods.METHODS[name], methods.find(name)
    assert issubclass(kind, Method) and kind.listed is row
    assert row.label and row.tip and re.search(r"doi:10\.\d{4,}/\S+|arXiv:\d{4}\.\d{4,5}", row.citation)
    assert {*row.needs, *row.takes} <= {"second", "target"}
    efforts = {"quick", "normal", "thorough"} if row.learns else set()
    assert row.seconds.keys() == (efforts or {"instant"}) and min(row.seconds.values()) > 0
    assert 0 < kind.learning_rate < 0.1 and (kind.clip is None or kind.clip > 0)
    assert is_dataclass(kind.Config) and kind.Config.__dataclass_params__.frozen
    assert kind.efforts.keys() == efforts
    known = {f.name for f in fields(kind.Config)}
    assert row.along_z == ("dimensions" in known)
    for settings in kind.efforts.values():
        assert settings.keys() <= known
        methods.configure(name, settings)


def test_listing_methods_loads_no_torch_and_no_array():
    code = (
        "import sys, napari_restore as n; assert len(n.list_methods()) >= 14; "
        "sys.exit(' '.join({'torch', 'numpy', 'pydantic'} & set(sys.modules)) or 0)"
    )
    listing = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (listing.returncode, listing.stderr) == (0, "")


def test_the_list_tells_what_each_needs_and_whom_to_cite():
    found = {row.pop("name"): row for row in methods.list_methods()}
    assert list(found) == sorted(methods.METHODS)
    assert all(row.keys() == {"label", "needs", "citation"} for row in found.values())
    assert (found["noise2noise"]["needs"], found["noise2void"]["needs"]) == ("second", "-")


@pytest.fixture
def other_package(monkeypatch, tmp_path):
    """Another package that is installed: what its module says, and what it gives for which names."""

    def install(source: str, **values: str) -> None:
        (tmp_path / "made_up.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "made_up", raising=False)
        given = [EntryPoint(name, value, methods.ENTRY_POINTS) for name, value in values.items()]
        monkeypatch.setattr(methods, "entry_points", lambda group: given if group == methods.ENTRY_POINTS else [])

    yield install
    sys.modules.pop("made_up", None)


A_ROW = """
from napari_restore.methods.listed import Listed

LISTED = Listed(
    where="napari_restore.methods.noise2void:Noise2Void",
    label="Mine",
    citation="Me (2026). doi:10.1234/mine",
    seconds={"quick": 1, "normal": 2, "thorough": 3},
)
"""


def test_other_packages_add_theirs_by_an_entry_point_that_gives_a_row(other_package):
    other_package(A_ROW, mine="made_up:LISTED")
    assert methods.names() == [*methods.METHODS, "mine"]
    assert methods.listed("mine").label == methods.rows()["mine"].label == "Mine"
    assert methods.find("mine") is methods.find("noise2void")
    assert "mine" in [row["name"] for row in methods.list_methods()]
    with pytest.raises(RestoreError, match=r"no method 'n2v'.*mine"):
        methods.find("n2v")


def test_a_name_of_ours_stays_ours(other_package):
    other_package(A_ROW, noise2void="made_up:LISTED")
    assert methods.listed("noise2void").label == "Noise2Void"
    assert methods.names() == list(methods.METHODS) and methods.rows() == methods.METHODS


@pytest.mark.parametrize(
    ("source", "value", "words"),
    [
        ("import nothing_of_that_name", "made_up:LISTED", "cannot be loaded: No module named"),
        ("", "made_up:LISTED", "cannot be loaded: .*LISTED"),
        ("class Mine: ...", "made_up:Mine", "is a type, and a row is wanted"),
    ],
)
def test_what_another_package_gives_wrongly_is_told_and_hides_no_other_method(other_package, source, value, words):
    other_package(source, broken=value)
    with pytest.warns(UserWarning, match=f"'broken' of another package .{value}. {words}.*uninstall"):
        assert methods.rows() == methods.METHODS
    with pytest.raises(RestoreError, match=words) as error:
        methods.find("broken")
    assert "\n" not in str(error.value)


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
