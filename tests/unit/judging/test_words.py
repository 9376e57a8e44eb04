"""What is said of an estimated error is a number that can be, and praise only where there is one."""

import math

import pytest

from napari_restore.judging.words import gained
from napari_restore.metrics.estimated_error import EstimatedError


def error(**given: float) -> EstimatedError:
    usual = {"mse": 1.0, "standard_error": 0.1, "psnr": 32.0, "psnr_at_least": 31.0, "psnr_before": 20.0, "peak": 40.0}
    return EstimatedError(**usual | given)


def test_a_gain_is_told_in_decibels():
    assert gained(error()).endswith("PSNR 32.0 dB, 31.0 dB at least, which is 11.0 to 12.0 dB more than before")


def test_chance_may_leave_no_error_and_then_the_least_is_told():
    found = error(mse=-0.1, psnr=math.inf)
    assert found.better and gained(found).endswith("PSNR 31.0 dB at least, 11.0 dB more than before")


@pytest.mark.parametrize(("mse", "least"), [(-1.0, math.inf), (-1.0, 31.0), (0.5, 19.0)])
def test_a_variance_that_is_too_large_or_a_result_that_is_too_far_is_no_praise(mse, least):
    found = error(mse=mse, psnr=math.inf, psnr_at_least=least)
    assert not found.better and "dB" not in gained(found)
