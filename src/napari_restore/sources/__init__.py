"""Images where they lie: open, describe, read a region at a time. NumPy out; no torch, no Qt.

Importing this room loads NumPy only; dask, zarr, tifffile and pydicom come with the first image that needs them.
"""

from napari_restore.sources.formats import recognises
from napari_restore.sources.image import Image
from napari_restore.sources.opening import open_as, open_image

__all__ = ["Image", "open_as", "open_image", "recognises"]
