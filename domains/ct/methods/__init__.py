"""Reconstruction with a prior: posterior samples by diffusion, every published method in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scidiff.domain import lazy

if TYPE_CHECKING:
    from .registry import METHODS as METHODS
    from .registry import Method as Method
    from .run import reconstruct as reconstruct
    from .volumes import reconstruct_volume as reconstruct_volume

__all__ = ["METHODS", "Method", "reconstruct", "reconstruct_volume"]

__getattr__ = lazy(
    __name__,
    {"METHODS": "registry", "Method": "registry", "reconstruct": "run", "reconstruct_volume": "volumes"},
)
