"""Solvers of the truth, each with the error that it is known to make."""
