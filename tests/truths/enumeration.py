"""Enumeration of discrete samplers: the names of `scidiff.testing_targets` under which tests of laws know them."""

from __future__ import annotations

from scidiff.testing_targets.enumeration import INITIAL, TRANSITION, Chain, SiteLaw
from scidiff.testing_targets.unmasking import Scripted

__all__ = ["INITIAL", "TRANSITION", "Chain", "Scripted", "SiteLaw"]
