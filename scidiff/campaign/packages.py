"""The packages that campaigns need, and one clear line where one is missing."""

from __future__ import annotations

from importlib.util import find_spec

from scidiff.errors import MissingPackageError

__all__ = ["require_packages"]

_NEEDED = ("distributed", "duckdb", "fsspec", "pyarrow", "pydantic")


def require_packages() -> None:
    """Look whether the packages are installed, without importing one.

    Raises
    ------
    MissingPackageError
        If one is not.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise MissingPackageError(f"campaigns need {', '.join(missing)}: pip install 'scidiff[campaign]'")
