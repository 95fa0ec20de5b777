"""Where a file came from: the header that every written file carries."""

from __future__ import annotations

import platform
import sys
from datetime import UTC, datetime
from importlib import import_module, metadata
from typing import Any

__all__ = ["package_version", "provenance"]


def package_version(name: str) -> str:
    """Version of an installed distribution.

    Parameters
    ----------
    name
        Name of the distribution, e.g. ``"torch"``.

    Returns
    -------
    str
        Its version; for ``"scidiff"`` used from a checkout the package's own ``__version__``; ``"unknown"`` when
        neither exists.
    """
    own = getattr(import_module("scidiff"), "__version__", None) if name == "scidiff" else None
    if own is not None:
        return str(own)
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "unknown"


def provenance(**facts: Any) -> dict[str, Any]:
    """Describe the software, the machine type and the moment, together with facts of the caller.

    Parameters
    ----------
    **facts
        What the caller knows, in JSON values: seed, model, calls, ... They come after the common entries and
        replace one of the same name.

    Returns
    -------
    dict
        ``scidiff``, ``torch`` and ``python`` versions, ``platform``, ``date`` (UTC, ISO 8601, seconds), then the facts.

    Examples
    --------
    >>> provenance(seed=3)["seed"]
    3
    """
    return {
        "scidiff": package_version("scidiff"),
        "torch": package_version("torch"),
        "python": sys.version.split()[0],
        "platform": f"{platform.system()}-{platform.machine()}",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        **facts,
    }
