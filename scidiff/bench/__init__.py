"""Benchmarks: named and versioned protocols whose rows carry intervals, bars, baselines, calls and seconds."""

from scidiff.bench.report import Report, TruthRow, render
from scidiff.bench.runner import run, suites
from scidiff.domain import Row

__all__ = ["Report", "Row", "TruthRow", "render", "run", "suites"]
