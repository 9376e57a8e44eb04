"""An OME-TIFF whose metadata lie beside it, in another of its files or in a text, is the same as with its own."""

import numpy as np
import pytest
import tifffile

from napari_restore import restore_folder, train
from napari_restore.core.errors import ImageError
from napari_restore.sources import open_image

OME = 'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'


def values(image):
    return np.unique(image.read()).tolist()


def without_metadata(file, master):
    """The description of a part, as Bio-Formats writes it; what it was is given back."""
    with tifffile.TiffFile(file) as tif:
        whole = tif.ome_metadata
    own = whole.split('UUID="')[1].split('"')[0]
    part = f'<OME {OME} UUID="{own}"><BinaryOnly MetadataFile="{master}" UUID="urn:uuid:0"/></OME>'
    tifffile.tiffcomment(file, part)
    return whole


@pytest.fixture(params=["exp.companion.ome", "exp_Pos0.ome.tif"])
def parts(request, tmp_path, ome_fileset):
    """Three images, the second of two files; all but a master say only where the metadata are."""
    files = ome_fileset(tmp_path, parts=(1, 2, 1))
    wholes = [without_metadata(file, request.param) for own in files for file in own if file.name != request.param]
    if request.param.endswith("companion.ome"):
        (tmp_path / request.param).write_text(wholes[0].replace("000000000000", "999999999999", 1), "utf-8")
    return files


def test_each_part_gives_the_whole_image_that_lies_in_it(parts):
    for i, own in enumerate(parts):
        for file in own:
            image = open_image(file)
            assert values(image) == [100 * i + t for t in range(4)]
            assert image.geometry.size_of("X") == pytest.approx(0.1 * (i + 1))
            assert [each.opened for each in image.series] == [each.index == i for each in image.series]
    assert values(open_image(parts[0][0], series="Pos2")) == [200, 201, 202, 203]


def test_a_companion_is_opened_by_the_files_that_it_names(tmp_path, ome_fileset):
    (first,), (second,), _ = ome_fileset(tmp_path)
    companion = tmp_path / "a.companion.ome"
    companion.write_text(without_metadata(second, companion.name), "utf-8")
    assert values(open_image(companion)) == [0, 1, 2, 3]
    assert values(open_image(companion, series=1)) == [100, 101, 102, 103]
    first.unlink()
    assert values(open_image(companion)) == [100, 101, 102, 103]
    for file in tmp_path.glob("*.tif"):
        file.unlink()
    with pytest.raises(ImageError, match=r"without pixels; it names exp_Pos0.*Put the files"):
        open_image(companion)


def test_a_part_whose_metadata_are_not_there_or_do_not_name_it_is_read_alone_and_that_is_said(tmp_path, ome_fileset):
    own, other = ome_fileset(tmp_path, parts=(2,))[0]
    without_metadata(other, own.name)
    renamed = other.rename(tmp_path / "renamed.ome.tif")
    image = open_image(renamed)
    assert values(image) == [1, 3]
    assert "not beside it" in image.notes[0]
    renamed.rename(other)
    assert values(open_image(other)) == [0, 1, 2, 3]
    own.unlink()
    assert values(open_image(other)) == [1, 3]


@pytest.mark.parametrize("master", ["../exp.companion.ome", "/dev/zero", "pipes", "..", "C:\\\\a.ome"])
def test_metadata_lie_beside_a_file_and_nowhere_else(tmp_path, ome_fileset, master):
    (file,), *_ = ome_fileset(tmp_path)
    (tmp_path / "pipes").mkdir()
    without_metadata(file, master)
    with pytest.raises(ImageError, match="its metadata point at"):
        open_image(file)


@pytest.mark.parametrize(
    "text", ["", "<OME", "<OME/>", "nothing", f'<OME {OME}><BinaryOnly MetadataFile="b.companion.ome"/></OME>']
)
def test_a_companion_that_says_nothing_is_refused_and_its_parts_are_read_alone(tmp_path, ome_fileset, text):
    (file,), *_ = ome_fileset(tmp_path)
    without_metadata(file, "b.companion.ome")
    (tmp_path / "b.companion.ome").write_text(text, "utf-8")
    assert values(open_image(file)) == [0, 1, 2, 3]
    with pytest.raises(ImageError, match=r"b\.companion\.ome"):
        open_image(tmp_path / "b.companion.ome")


def test_a_batch_takes_each_image_once(parts, tmp_path):
    model = train(np.random.default_rng(0).normal(100, 5, (32, 32)).astype(np.float32), steps=1, width=4)
    restored = restore_folder(parts[0][0].parent, model, output=tmp_path / "out")
    assert [each.state for each in restored].count("done") == 3
    assert all("same image" in each.reason for each in restored if each.state != "done")
