"""What commands print: lines for people, or one JSON object."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

__all__ = ["tell"]


def tell(facts: dict[str, Any], to_json: Path | None, lines: list[str]) -> None:
    """Print lines, or the facts as JSON where that was asked for."""
    if to_json is not None and str(to_json) != "-":
        from scidiff.io.files import atomic_write

        with atomic_write(to_json) as file:
            json.dump(facts, file, indent=2)
    sys.stdout.write(json.dumps(facts, indent=2) + "\n" if str(to_json) == "-" else "\n".join(lines) + "\n")
