"""Targets with known truths: what a sampler should give on them is known exactly, or to a stated quadrature.

The package's own tests, ``scidiff bench core`` and third parties who write a sampler measure on the same ones.
"""
