"""``python -m napari_restore`` is ``napari-restore``."""

from napari_restore.cli import main

if __name__ == "__main__":
    main()
