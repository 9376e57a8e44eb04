"""The version of this package: the same as in ``pyproject.toml``, and here for every room to write into its files."""

__version__ = "0.1.0"
