"""napari layers, real ones: their scale, units and names arrive, and other layers are refused in words."""

import numpy as np
import pytest
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Points

from napari_restore.core.channel import Channel
from napari_restore.core.errors import ImageError
from napari_restore.sources import open_image

STACK = np.arange(4 * 17 * 23, dtype=np.uint16).reshape(4, 17, 23)


def test_scale_translate_units_and_name_arrive():
    layer = ImageLayer(STACK, name="raw", scale=(0.3, 0.1, 0.2), translate=(1, 2, 3), units=("um", "um", "nm"))
    image = open_image(layer)
    assert (image.name, image.axes) == ("raw", "ZYX")
    assert image.geometry.pixel_size == (0.3, 0.1, 0.2)
    assert image.geometry.origin == (1.0, 2.0, 3.0)
    assert image.geometry.units == ("micrometer", "micrometer", "nanometer")
    assert np.array_equal(image.read(), STACK)


def test_a_layer_of_one_channel_has_the_colour_that_it_is_shown_in():
    assert open_image(ImageLayer(STACK, colormap="green")).channels == (Channel("", "00FF00"),)
    assert open_image(ImageLayer(STACK)).channels == open_image(ImageLayer(STACK, colormap="viridis")).channels == ()
    kept = {"napari_restore": {"channels": [{"name": "GFP", "colour": "00FF00"}]}}
    assert open_image(ImageLayer(STACK, colormap="red", metadata=kept)).channels == (Channel("GFP", "FF0000"),)


def test_channels_in_one_layer_have_the_names_that_their_file_gave():
    two = {"channels": [{"name": "DAPI", "colour": "0000FF"}, {"name": "GFP", "colour": ""}]}
    layer = ImageLayer(STACK[:2], axis_labels=("c", "y", "x"), colormap="red", metadata={"napari_restore": two})
    assert open_image(layer).channels == (Channel("DAPI", "0000FF"), Channel("GFP"))
    for odd in (None, 3, {"channels": 3}, {"channels": [3, "x"]}, {"channels": [{"name": "one"}]}):
        layer.metadata = {"napari_restore": odd}
        assert open_image(layer).channels == ()


def test_axis_labels_that_name_axes_are_used():
    assert open_image(ImageLayer(STACK, axis_labels=("time", "y", "x"))).axes == "TYX"
    assert open_image(ImageLayer(STACK, axis_labels=("c", "y", "x"))).notes == ()


def test_default_labels_are_guessed():
    image = open_image(ImageLayer(STACK))
    assert image.axes == "ZYX"
    assert "guessed" in image.notes[0]


def test_rgb_has_its_channels_last():
    image = open_image(ImageLayer(np.zeros((5, 17, 23, 3), np.uint8), rgb=True, scale=(2, 0.5, 0.5)))
    assert image.axes == "ZYXC"
    assert image.geometry.pixel_size == (2.0, 0.5, 0.5, 1.0)


def test_a_level_of_a_multiscale_layer_lies_over_the_full_one():
    levels = [np.zeros((64, 96), np.uint8), np.ones((32, 48), np.uint8)]
    image = open_image(ImageLayer(levels, multiscale=True, scale=(0.5, 0.5)), level=1)
    assert image.shape == (32, 48)
    assert image.geometry.pixel_size == (1.0, 1.0)
    assert image.geometry.origin == (0.25, 0.25)
    with pytest.raises(ImageError, match="levels 0 to 1"):
        open_image(ImageLayer(levels, multiscale=True), level=2)


@pytest.mark.parametrize("layer", [Labels(np.zeros((9, 9), int), name="cells"), Points(np.zeros((3, 2)), name="spots")])
def test_other_layers_are_refused_by_name(layer):
    with pytest.raises(ImageError, match=f"layer '{layer.name}' is a (labels|points) layer"):
        open_image(layer)
