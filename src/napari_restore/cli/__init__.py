"""The shell: ``napari-restore VERB ...``."""

from napari_restore.cli.commands import main

__all__ = ["main"]
