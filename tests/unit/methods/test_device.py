import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from napari_restore.core.errors import RestoreError
from napari_restore.methods import device
from napari_restore.methods.allocated import peak_of
from napari_restore.methods.device import (
    describe,
    find_device,
    find_precision,
    kept_buffers,
    one_thread,
    side_by_side,
    use_threads,
)
from napari_restore.methods.free import free_on
from napari_restore.operators.exact import in_double


def test_the_processor_is_always_there():
    assert find_device("cpu") == torch.device("cpu")
    assert describe(torch.device("cpu")).startswith("CPU, ")
    assert find_precision(torch.device("cpu")) in ("float32", "bfloat16")


def test_auto_takes_the_fastest_there_is(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert find_device("auto").type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert find_device("auto").type == "cpu"


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "cpu cpu"])
def test_an_unknown_device_is_refused(name):
    with pytest.raises(RestoreError, match="is unknown: use auto, cpu"):
        find_device(name)


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "xpu", "cpu:1"])
def test_a_device_that_is_not_there_is_refused(monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(RestoreError, match=f"device {name!r} is not there"):
        find_device(name)


def test_kept_buffers_lets_errors_through_and_can_be_nested():
    with pytest.raises(ValueError, match="mine"), kept_buffers(), kept_buffers():
        assert torch.ones(10).sum() == 10
        raise ValueError("mine")


def test_buffers_are_kept_until_the_last_of_those_who_want_it_is_done(monkeypatch):
    """Two trainings that overlap: the end of one does not slow the other down."""
    told = []
    monkeypatch.setattr(device, "_mallopt", lambda _, settings: told.append(settings is device._KEEPING))
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2.39"))
    first, second = kept_buffers(), kept_buffers()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert told == [True]
    second.__exit__(None, None, None)
    assert told == [True, False]


@pytest.mark.usefixtures("two_threads")
def test_use_threads_is_for_the_thread_that_calls_it():
    use_threads(3)
    with ThreadPoolExecutor(1) as pool:
        assert torch.get_num_threads() == 3
        assert pool.submit(torch.get_num_threads).result() == 2


CPU = torch.device("cpu")


@pytest.mark.usefixtures("two_threads")
def test_one_thread_of_torch_is_for_the_time_inside_and_the_thread_that_calls_it():
    with torch.inference_mode(), one_thread(CPU) as threads, ThreadPoolExecutor(1) as pool:
        assert (threads, torch.get_num_threads()) == (2, 1)
        assert pool.submit(torch.get_num_threads).result() == 2
    with pytest.raises(KeyError), one_thread(CPU):
        raise KeyError
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_nobody_else_computes_where_gradients_are_asked_for_operators_counted_or_a_card_does_it():
    with one_thread(CPU) as threads:
        assert (threads, torch.get_num_threads()) == (1, 1)
    with torch.inference_mode(), one_thread(torch.device("meta")) as threads:
        assert (threads, torch.get_num_threads()) == (1, 2)
    told = []

    def look():
        with one_thread(CPU) as threads:
            told.append(threads)

    with torch.inference_mode():
        peak_of(look)
    assert told == [1]


def here(part):
    return part, threading.current_thread().name, (torch.get_num_threads(), torch.is_inference_mode_enabled())


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("count", "threads"), [(4, 2), (7, 2), (5, 16)])
def test_parts_made_side_by_side_come_in_order_from_threads_with_one_of_torchs_each(count, threads):
    before = threading.active_count()
    made = list(side_by_side(here, range(count), threads=threads))
    assert [part for part, *_ in made] == list(range(count))
    assert {name for _, name, *_ in made} <= {f"napari-restore compute_{n}" for n in range(2)}
    assert {facts for *_, facts in made} == {(1, True)}
    assert (threading.active_count(), torch.get_num_threads()) == (before, 2), "nothing is left of them"


@pytest.mark.parametrize(("count", "threads"), [(5, 1), (3, 2), (0, 2)])
def test_few_parts_are_made_by_the_thread_that_asks(count, threads):
    made = list(side_by_side(here, range(count), threads=threads))
    assert {name for _, name, *_ in made} <= {threading.current_thread().name}
    assert len(made) == count


def test_what_goes_wrong_in_a_part_is_raised_and_no_other_is_begun_after_it():
    begun = []

    def work(part):
        begun.append(part)
        raise KeyError(part)

    with pytest.raises(KeyError, match="0"):
        list(side_by_side(work, range(50), threads=2))
    assert len(begun) < 6


@pytest.fixture
def apple(monkeypatch):
    """What torch says where there is one of Apple's graphics processors, which nobody here has."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 8 * 2**30)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 3 * 2**30)


def test_apple_s_processor_is_found_computes_in_float32_and_tells_its_memory(apple):
    assert find_device("auto") == find_device("mps") == torch.device("mps") and find_device("mps:0").index == 0
    assert describe(find_device("auto")) == "mps" and find_precision(find_device("auto")) == "float32"
    assert free_on(find_device("auto")) == 5 * 2**30
    with pytest.raises(RestoreError, match="'mps:1' is not there: this machine has 1 of kind mps"):
        find_device("mps:1")


class OnApple:
    """Stands in for a tensor there: float64 is an error until it is on the processor."""

    device = torch.device("mps")

    def __init__(self, pixels):
        self.pixels = pixels

    def cpu(self):
        return self.pixels

    def double(self):
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype")


def test_float64_is_on_the_processor_where_the_device_has_none():
    assert in_double(OnApple(torch.ones(3))).sum().item() == 3.0
    assert in_double(torch.ones(3)).dtype == torch.float64


@pytest.mark.parametrize("room", ["operators", "losses", "networks", "methods", "training", "restoration"])
def test_nobody_asks_a_device_for_float64_otherwise(room):
    for file in (Path(device.__file__).parents[1] / room).rglob("*.py"):
        asked = re.findall(r".*(?<!\.cpu\(\))\.double\(\).*", file.read_text("utf-8"))
        assert file.name == "exact.py" or not asked, f"{file.name}: {asked}: use in_double"
