"""Optional packages of file formats, imported when a file of that kind is read."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from scidiff.errors import MissingPackageError

__all__ = ["optional"]


def optional(module: str, package: str, what: str) -> Any:
    """Import an optional package.

    Parameters
    ----------
    module
        Name of the module.
    package
        Name to install.
    what
        What it is needed for.

    Returns
    -------
    module
        The module.

    Raises
    ------
    MissingPackageError
        If it cannot be imported.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingPackageError(
            f"{what} needs the package '{package}', which cannot be imported ({error}); install it with "
            f"'pip install {package}' or \"pip install 'scidiff[ct]'\""
        ) from error
