"""Projectors on the core's contract of linear operators: a system matrix, a matrix-free one, and ASTRA's."""

from __future__ import annotations

from .matrix import SystemMatrix, joseph_matrix, system_matrix
from .matrix_folder import MatrixFileWarning, MatrixFolder
from .matrix_free import MatrixFree

__all__ = ["MatrixFileWarning", "MatrixFolder", "MatrixFree", "SystemMatrix", "joseph_matrix", "system_matrix"]
