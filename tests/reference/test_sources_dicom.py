"""DICOM pixels equal those of pydicom's own test files and its modality rescale."""

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.pixels import apply_rescale

from napari_restore.sources import open_image


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "MR_small_bigendian.dcm", "MR_small_RLE.dcm"])
def test_values_are_those_of_pydicom(name):
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"pydicom is installed without {name}")
    dataset = dcmread(path)
    image = open_image(path)
    assert np.array_equal(image.read(), apply_rescale(dataset.pixel_array, dataset))
    assert image.geometry.pixel_size == pytest.approx(tuple(map(float, dataset.PixelSpacing)))
