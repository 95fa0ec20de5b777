"""Constraints on fields, and the methods that sample under them, under one interface."""

from .base import Affine, Constraint, Joint, Nonlinear, RankReport

__all__ = ["Affine", "Constraint", "Joint", "Nonlinear", "RankReport"]
