from __future__ import annotations

import gc
import threading
import time

import pytest

from napari_restore.core.errors import ImageError
from napari_restore.gui.parts import runner as room
from napari_restore.gui.parts.runner import Runner


@pytest.fixture
def runner(qtbot):
    runner = Runner(every_ms=10)
    yield runner
    runner.abandon()


def run(qtbot, runner, start):
    received = []
    runner.received.connect(received.extend)
    with qtbot.waitSignal(runner.ended, timeout=5000) as signal:
        assert runner.start(start)
    return received, signal.args[0]


def test_events_arrive_in_order_and_the_result_last(qtbot, runner):
    def work(stop):
        yield from range(1000)
        return "result"

    received, ended = run(qtbot, runner, work)
    assert received == list(range(1000))
    assert ended.result == "result" and ended.failure is None
    assert not runner.running and not room._ALIVE


def test_the_end_has_ticks_of_its_own(qtbot):
    """The last events, a whole result and all that changes by it would together hold the viewer three times as long."""
    runner, told = Runner(every_ms=3_600_000), []
    runner.received.connect(told.append)
    runner.ending.connect(lambda ended: told.append((ended.result, runner.running)))
    runner.ended.connect(lambda ended: told.append((ended.result, runner.running)))

    def work(stop):
        yield 1
        return "result"

    runner.start(work)
    qtbot.waitUntil(lambda: runner.line.mail.qsize() == 2)
    runner._tick()
    assert told == [[1]]
    runner._tick()
    assert told == [[1], ("result", True)] and not runner.start(work)
    runner._tick()
    assert told == [[1], ("result", True), ("result", False)]
    told.clear()
    assert runner.start(work)
    qtbot.waitUntil(lambda: runner.line.mail.qsize() == 2)
    runner._tick()
    qtbot.wait(50)
    assert told == [[1]], "the next run is looked at as seldom as the first"


def test_a_result_is_kept_if_the_viewer_goes_away_amid_its_end(qtbot):
    runner, kept, told = Runner(every_ms=5), [], []
    runner.ending.connect(lambda _: runner.abandon())
    runner.ended.connect(told.append)

    def work(stop):
        yield 1
        return "result"

    runner.start(work, keep=kept.append)
    qtbot.waitUntil(lambda: bool(kept))
    qtbot.wait(50)
    assert [ended.result for ended in kept] == ["result"] and not told


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory"), KeyError("x"), MemoryError(), SystemExit(3)])
def test_nothing_escapes_the_worker(qtbot, runner, error):
    def work(stop):
        yield 1
        raise error

    received, ended = run(qtbot, runner, work)
    assert received == [1] and ended.failure.kind == type(error).__name__
    assert run(qtbot, runner, iter_once)[1].failure is None, "and it can run again"


def iter_once(stop):
    yield 1


def test_the_users_errors_are_shown_as_they_are(qtbot, runner):
    def work(stop):
        raise ImageError("axis Y: too short.")

    assert run(qtbot, runner, work)[1].failure.message == "axis Y: too short."


def test_a_stop_is_seen_and_the_generator_closes_on_its_own_thread(qtbot, runner):
    threads = []

    def work(stop):
        try:
            while not stop.is_set():
                time.sleep(0.005)
                yield 1
            return "kept"
        finally:
            threads.append(threading.current_thread())

    runner.received.connect(lambda events: runner.stop())
    received, ended = run(qtbot, runner, work)
    assert received and ended.result == "kept"
    assert threads and threads[0] is not threading.main_thread() and not threads[0].is_alive()


def test_starting_twice_starts_once(qtbot, runner):
    def work(stop):
        stop.wait(5)
        yield 1

    with qtbot.waitSignal(runner.ended, timeout=5000):
        assert runner.start(work)
        assert not runner.start(work)
        assert runner.running and not runner.stopping
        runner.stop()
        assert runner.stopping


def test_a_fast_worker_does_not_flood_the_event_loop(qtbot, runner):
    ticks = []
    runner.received.connect(lambda events: ticks.append(len(events)))

    def work(stop):
        yield from range(100_000)

    run(qtbot, runner, work)
    assert sum(ticks) == 100_000 and len(ticks) < 200


def test_an_abandoned_worker_ends_and_says_nothing(qtbot):
    runner = Runner(every_ms=10)
    said = []
    runner.ended.connect(said.append)

    def work(stop):
        stop.wait(5)
        yield 1

    runner.start(work)
    runner.abandon()
    assert not runner.start(work)
    del runner
    gc.collect()
    qtbot.waitUntil(lambda: not room._ALIVE, timeout=3000)
    assert not said


def test_running_work_is_wound_down_at_exit(qtbot, runner):
    closed = []

    def work(stop):
        try:
            while not stop.is_set():
                time.sleep(0.005)
                yield 1
        finally:
            closed.append(True)

    runner.start(work)
    time.sleep(0.05)
    room._wind_down()
    assert closed == [True]


@pytest.mark.parametrize(("words", "left", "told"), [
    ("cannot schedule new futures after interpreter shutdown", True, 0),
    ("cannot schedule new futures after interpreter shutdown", False, 1),
    ("another mistake", True, 1),
])  # fmt: skip
def test_the_interpreter_s_end_is_no_failure_of_work_that_was_left(caplog, words, left, told):
    line = room.Line()
    if left:
        line.cut()

    def work(stop):
        yield 1
        raise RuntimeError(words)

    assert room._run(work, line).failure.kind == "RuntimeError"
    assert len(caplog.records) == told
