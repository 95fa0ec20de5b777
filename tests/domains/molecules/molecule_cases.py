"""What the tests of molecular graphs share: vocabularies, molecules, and a projection of given logits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from rdkit import Chem
from scidiff.domains.molecules.graphs import decode, pair_count
from scidiff.domains.molecules.network import GraphDenoiserConfig, GraphDenoiserNetwork
from scidiff.domains.molecules.noising import graph_process
from scidiff.domains.molecules.projection import ValenceProjection
from scidiff.domains.molecules.scaffold import Scaffold
from scidiff.domains.molecules.start import Start
from scidiff.domains.molecules.vocabulary import AtomToken, Bond, Vocabulary

from scidiff.nets.graph_transformer import GraphTransformerConfig
from scidiff.process.base import Kind
from scidiff.random import Noise
from scidiff.sample.state import RunState


def tokens(names: str) -> Vocabulary:
    """Vocabulary of the atoms of fragments such as ``C``, ``[nH]``, ``[NH3+]``."""
    return Vocabulary(tuple(token(name) for name in names.split()))


def token(name: str) -> AtomToken:
    """Token of a SMILES-like name."""
    body = name.strip("[]")
    sign = 1 if "+" in body else (-1 if "-" in body else 0)
    core, _, size = body.replace("-", "+").partition("+")
    element, _, hydrogens = core.partition("H")
    count = int(hydrogens or 1) if "H" in core else 0
    return AtomToken(element.capitalize(), element.islower(), sign * int(size or 1) if sign else 0, count)


QM9 = tokens("C O N c n [nH] o F")
MOSES = tokens("c C O N n F s S o Cl [nH] Br")
CHARGED = tokens("C N O F c n [nH] s [N+] [NH3+] [NH+] [O-] [nH+] [n+] S P [C-] Si B [B-] Cl")

RINGS = """c1ccccc1 c1ccncc1 c1cncnc1 c1c[nH]cc1 c1cocc1 c1cscc1 c1c[nH]cn1 c1cn[nH]c1 c1cscn1 c1cocn1 c1nnn[nH]1
c1nn[nH]n1 c1ccc2[nH]ccc2c1 c1ccc2ncccc2c1 c1ccc2ccccc2c1 c1ccc2occc2c1 c1ccc2scnc2c1 c1ccc2[nH]cnc2c1 c1ncc2nc[nH]c2n1
c1ccc2cccc-2cc1 C1=Cc2cccc3cccc1c23 C1CC1 C1CCC1 C1CCCC1 C1CCCCC1 C1CCNCC1 C1COCCN1 C1CNCCN1 C1C2CC2C1 C1CC2CCC1C2
O=c1cc[nH]cc1 O=c1[nH]cnc2[nH]cnc12 C1=CCCC1 C1=CC=CC1 C1CO1 C1CN1 O=C1CCC(=O)N1 C1=COC=CC1 N1C=CC=C1""".split()
"""Ring systems whose first or second character is an atom that carries a hydrogen."""

GROUPS = "C F O N N#C OC(=O) NC(=O) CO CN(C) CS(=O)(=O) FC(F)(F) Cl O=C C#C CC(=O)N CS Br OCC FCC=C".split()

OTHERS = """C N O CC C#C C=C C#N N#N OO FF C=C=C O=C=O C=C=O CC(C)(C)C C1=CC=CC=CC=C1 C1=CC=C1 FC(F)(F)F CS(=O)(=O)C
CSSC CS(C)=O NS(N)(=O)=O Cn1cnc2c1c(=O)n(C)c(=O)n2C c1cc2cc3ccc(cc4ccc(cc5ccc(cc1n2)[nH]5)n4)[nH]3 c1ccc(-c2ccccc2)cc1
c1cc2ccc3cccc4ccc(c1)c2c34 O=C1C=CC(=O)C=C1 Nc1nc(N)nc(N)n1 O=C1NC(=O)c2ccccc21 CC1=NN(C(=O)C1)c1ccccc1""".split()

IONS = """C[N+](C)(C)C [NH3+]CC(=O)[O-] C[n+]1ccccc1 [O-][n+]1ccccc1 c1cc[nH+]cc1 [O-][N+](=O)c1ccccc1 C[N-]C
[N-]=[N+]=NC C#[N+][O-] [C-]#[N+]C c1cc[o+]cc1 c1cc[s+]cc1 c1cc[cH-]c1 c1ccc[cH+]cc1 c1nnn[n-]1 C[O+](C)C
C[S+](C)[O-] C[P+](C)(C)C F[B-](F)(F)F CP(=O)(O)O C[Si](C)(C)C OB(O)c1ccccc1 c1cc[se]c1
c1ccpcc1 FS(F)(F)(F)(F)F CC[CH-]C""".split()


def molecules() -> list[str]:
    """Nearly 800 SMILES: rings with groups, chains, and ions."""
    decorated = [f"{group}{ring}" for ring in RINGS for group in ["", *GROUPS] if ring[0] in "cCN" or not group]
    return [*decorated, *OTHERS, *IONS]


def start_state(
    vocabulary: Vocabulary,
    sizes: Sequence[int],
    padded: int,
    *,
    seed: int = 0,
    samples: Sequence[int] | None = None,
    scaffold: Scaffold | None = None,
) -> RunState:
    """State at ``t = 1``, as sampling begins with it."""
    sizes = np.asarray(sizes)
    start = Start.of(scaffold, sizes, padded)
    noise = Noise(seed, np.arange(len(sizes)) if samples is None else np.asarray(samples))
    shape = {key: tuple(part.shape[1:]) for key, part in start.clean.items()}
    state = RunState.start(graph_process(vocabulary), noise, shape, free=start.free, clean=start.clean)
    return state.record("size", torch.from_numpy(sizes)).record("valence", start.valence)


def predicted(vocabulary: Vocabulary, state: RunState, atoms: np.ndarray, bonds: np.ndarray) -> dict[str, torch.Tensor]:
    """Prediction ``m`` from logits of atoms (batch, n, K) and pairs (batch, pairs, 5)."""
    logits = {"atoms": torch.from_numpy(atoms), "bonds": torch.from_numpy(bonds)}
    return graph_process(vocabulary).convert(logits, Kind.LOGITS, state.x, state.t)


def project(
    vocabulary: Vocabulary, state: RunState, m: dict[str, torch.Tensor], bonds_until: float = 1.0
) -> tuple[dict[str, np.ndarray], RunState]:
    """Classes that the projection is certain of, and its records."""
    certain, after = ValenceProjection(vocabulary, bonds_until)(m, state, None)
    return {key: value.argmax(-1).numpy() for key, value in certain.items()}, after


def built(
    vocabulary: Vocabulary, classes: dict[str, np.ndarray], sizes: Sequence[int], given: int = 0
) -> list[Chem.Mol]:
    """Molecules of all rows; raises where one is none."""
    return [
        decode(classes["atoms"][row, :size], classes["bonds"][row, : pair_count(size)], vocabulary, range(given))
        for row, size in enumerate(sizes)
    ]


def faults(molecule: Chem.Mol, size: int) -> list[str]:
    """What is wrong with a molecule that should be connected, closed-shell and of a size, also when read again."""
    smiles = Chem.MolToSmiles(molecule)
    again = Chem.MolFromSmiles(smiles)
    found = {
        "several parts": "." in smiles,
        "wrong size": molecule.GetNumAtoms() != size,
        "radical": any(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms()),
        "not readable": again is None or any(atom.GetNumRadicalElectrons() for atom in again.GetAtoms()),
    }
    return [f"{fault}: {smiles}" for fault, holds in found.items() if holds]


def small_network(vocabulary: Vocabulary, largest: int, *, double: bool = False, seed: int = 0) -> GraphDenoiserNetwork:
    """Network with random weights that are large enough to make it care about its input."""
    config = GraphDenoiserConfig(
        atom_states=len(vocabulary) + len(set(vocabulary.groups)) + 1,
        bond_states=len(Bond),
        atom_classes=len(vocabulary),
        bond_classes=len(Bond),
        largest=largest,
        trunk=GraphTransformerConfig(layers=2, width=16, pair_width=8, heads=2, product=4),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = GraphDenoiserNetwork(config).eval()
        for head in (network.atom_head, network.bond_head):
            head[-1].weight.data.mul_(3.0)
    return in_double(network) if double else network


def in_double(network: GraphDenoiserNetwork) -> GraphDenoiserNetwork:
    """Turn a network to float64; its features of time are made in float32."""
    for layer in (network.atom_time, network.bond_time):
        layer.register_forward_pre_hook(lambda _, inputs: (inputs[0].double(),))
    return network.double()
