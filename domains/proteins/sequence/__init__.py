"""Residue types for a given backbone: masked discrete diffusion over a graph of its residues (inverse folding).

    from scidiff.domains.proteins import sequence
    result = sequence.train("runs/sequence")
    designed = sequence.load(result.model).design_sequence(chains, steps=20, seed=0, temperature=0.5)

`graph` says what residues see of each other, `network` predicts types, `task` and `recipe` learn, `model` draws. It
sees N, CA and C of small chains alone and is a weak designer; no weights come with the package, and what a trained
model recovers is printed beside what the composition of residues alone would. Names load when they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scidiff.domain import lazy

if TYPE_CHECKING:
    from .model import DesignedSequences as DesignedSequences
    from .model import SequenceModel as SequenceModel
    from .model import load as load
    from .recipe import train as train

__all__ = ["DesignedSequences", "SequenceModel", "load", "train"]

_LAZY = {"DesignedSequences": "model", "SequenceModel": "model", "load": "model", "train": "recipe"}

__getattr__ = lazy(__name__, _LAZY)
