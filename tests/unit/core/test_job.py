import threading
from concurrent.futures import CancelledError, Future, wait

import pytest

from napari_restore.core.events import Measured, Note, TileDone
from napari_restore.core.job import Job, drain
from napari_restore.core.region import Region

LONG = 30.0  # seconds; only a broken job waits so long


def counting(n):
    for i in range(n):
        yield Note(str(i))
    return n


def test_drain_gives_the_result_and_shows_every_event():
    seen = []
    assert drain(counting(3), seen.append) == 3
    assert seen == [Note("0"), Note("1"), Note("2")]
    assert drain(counting(0)) == 0


def test_drain_lets_errors_through():
    def failing():
        yield Note("one")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        drain(failing())


def test_a_job_is_a_future_with_the_result():
    job = Job("count", lambda stop: counting(3))
    assert isinstance(job, Future)
    assert job.result(LONG) == 3
    assert job.latest == Note("2")
    assert repr(job) == "<Job count: done>"


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(2), KeyboardInterrupt()])
def test_whatever_is_raised_is_kept_for_the_owner(error):
    def failing(stop):
        yield Note("one")
        raise error

    job = Job("fail", failing)
    assert job.exception(LONG) is error
    assert repr(job) == "<Job fail: failed>"


def test_work_that_cannot_begin_is_an_exception_too():
    def broken(stop):
        raise ValueError("before the first event")

    assert isinstance(Job("broken", broken).exception(LONG), ValueError)


def test_stop_is_seen_by_the_work_and_what_there_is_becomes_the_result():
    started = threading.Event()

    def endless(stop):
        steps = 0
        while not stop.wait(0.001):
            steps += 1
            started.set()
            yield Note("on")
        return steps

    job = Job("endless", endless)
    assert started.wait(LONG)
    assert not job.done()
    job.stop()
    assert job.result(LONG) > 0


def test_work_under_way_cannot_be_cancelled_only_stopped():
    go = threading.Event()

    def waiting(stop):
        yield Note("on")
        go.wait(LONG)
        return "all of it"

    job = Job("wait", waiting)
    assert not job.cancel()
    go.set()
    try:
        assert job.result(LONG) == "all of it"
    except CancelledError:
        pytest.fail("the result was lost")


def test_jobs_run_side_by_side():
    meeting = threading.Barrier(2)

    def meet(stop):
        meeting.wait(LONG)
        return "met"
        yield

    jobs = [Job(name, meet) for name in "ab"]
    assert {job.result(LONG) for job in wait(jobs, LONG).done} == {"met"}


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (Note("x"), "starting"),
        (Measured(5, 1.0, 1.0, None, 1e-3, 0.25, 3.0), "training, 25%"),
        (TileDone(0, 3, 12, Region((0,), (1,)), 1.0, None), "restoring, 3 of 12 tiles"),
    ],
)
def test_a_job_says_how_far_it_is(event, words):
    seen, go = threading.Event(), threading.Event()

    def work(stop):
        yield event
        seen.set()
        go.wait(LONG)

    job = Job("work", work)
    assert seen.wait(LONG)
    assert repr(job) == f"<Job work: {words}>"
    go.set()
    job.result(LONG)
