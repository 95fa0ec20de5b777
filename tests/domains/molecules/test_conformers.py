"""Conformers: what is read, symmetries of the samples, stereo marks, the loss, reference data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from rdkit import Chem
from scidiff.domains.molecules.conformers.data import common, conformer_set, embed
from scidiff.domains.molecules.conformers.graph import Graphs, encode, read
from scidiff.domains.molecules.conformers.model import ConformerModel
from scidiff.domains.molecules.conformers.network import ConformerConfig, ConformerNetwork
from scidiff.domains.molecules.conformers.recipe import build_task
from scidiff.domains.molecules.conformers.stereo import matches, place
from scidiff.domains.molecules.conformers.task import PROCESS
from scipy.spatial.transform import Rotation

from scidiff.cli import main
from scidiff.errors import ConfigError, DataError, UnknownNameError
from scidiff.random import Noise

SMILES = ["CC(=O)NC", "c1ccoc1", "OCC(F)C", "CCO", "C"]
ROUND_OFF = 1e-9
"""Several thousand float64 operations on numbers of order one, with room for the growth of ten solver steps."""


@pytest.fixture(scope="module")
def model() -> ConformerModel:
    """Untrained network in double precision: symmetries do not ask for training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = ConformerNetwork(ConformerConfig(layers=2, width=16, product=8, radial=6)).double()
        for parameter in network.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    return ConformerModel("untrained", network.eval(), 1.0)


@dataclass(frozen=True, eq=False)
class MovedNoise(Noise):
    """The same normals, turned by a matrix and permuted."""

    turn: np.ndarray = field(default_factory=lambda: np.eye(3))
    order: tuple[int, ...] | None = None

    def normal(self, shape=(), *, step: int, stream: str) -> torch.Tensor:
        drawn = super().normal(shape, step=step, stream=stream) @ torch.from_numpy(self.turn.T)
        return drawn if self.order is None else drawn[:, list(self.order)]


@pytest.mark.parametrize("reflect", [1.0, -1.0], ids=["rotation", "reflection"])
def test_samples_turn_with_the_noise(model: ConformerModel, reflect: float) -> None:
    """Turned noise gives the turned molecule, mirrored noise its mirror image: the law knows no handedness."""
    graphs, rows = Graphs.of([read(s) for s in SMILES]), np.arange(len(SMILES))
    turn = reflect * Rotation.random(rng=1).as_matrix()
    plain = model.positions(graphs, rows, Noise.range(3, len(rows)), steps=5)
    moved = model.positions(graphs, rows, MovedNoise(3, rows, turn=turn), steps=5)
    assert np.abs(plain).max() > 0.1
    assert np.abs(moved - plain @ turn.T).max() < ROUND_OFF * max(1.0, np.abs(plain).max())


def test_samples_follow_the_order_of_the_atoms(model: ConformerModel) -> None:
    """Renumbered atoms and noise give the renumbered cloud."""
    molecule, order = read("CC(=O)NC"), (3, 0, 4, 2, 1)
    both = Graphs.of([molecule, Chem.RenumberAtoms(molecule, list(order))])
    plain = model.positions(both, np.array([0]), Noise.range(5, 1), steps=5)[0, :5]
    moved = model.positions(both, np.array([1]), MovedNoise(5, np.zeros(1), order=order), steps=5)[0, :5]
    assert np.abs(moved - plain[list(order)]).max() < ROUND_OFF * max(1.0, np.abs(plain).max())


def test_samples_do_not_depend_on_the_batch(model: ConformerModel) -> None:
    """Any cut of the batch, and any company, gives the same clouds; they are centred."""
    graphs = Graphs.of([read(s) for s in SMILES])
    rows = np.arange(len(SMILES)).repeat(3)
    noise = Noise.range(7, len(rows))
    whole = model.positions(graphs, rows, noise, steps=4)
    small = model.positions(graphs, rows, noise, steps=4, batch_size=2)
    alone = model.positions(graphs, rows[[4]], noise.take([4]), steps=4)
    assert np.abs(small - whole).max() < ROUND_OFF
    assert np.abs(alone[0] - whole[4]).max() < ROUND_OFF
    assert np.abs(whole.sum(1)).max() < ROUND_OFF
    assert len({tuple(cloud[0]) for cloud in whole[:3]}) == 3


def test_a_run_repeats_and_books_its_calls(model: ConformerModel) -> None:
    """Equal seeds, equal molecules, and the ledger counts every call; other seeds differ."""
    a, b, c = (model.sample(["OCCO", "C"], 2, steps=3, seed=seed) for seed in (1, 1, 2))
    assert a.calls.tolist() == [3] * 4
    clouds = [[m.GetConformer().GetPositions() for m in s.items] for s in (a, b, c)]
    assert np.array_equal(clouds[0][0], clouds[1][0])
    assert not np.allclose(clouds[0][0], clouds[2][0])
    assert [m.GetNumAtoms() for m in a.items] == [4, 4, 1, 1]


@pytest.mark.parametrize(
    ("smiles", "says"),
    [
        ("Q", "cannot be read"),
        ("", "cannot be read"),
        ("C1CC", "cannot be read"),
        ("CCCCCCC", "at most 6"),
        ("CS", "atom S"),
        ("C[O-]", "charge"),
        ("C[CH2]", "unpaired"),
        ("C.C", "several parts"),
    ],
)
def test_a_molecule_that_the_model_does_not_know_is_refused(model: ConformerModel, smiles: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        model.sample(smiles)


@pytest.mark.parametrize("bad", [{"count": 0}, {"steps": 0}, {"steps": 1.5}, {"batch_size": -1}], ids=str)
def test_numbers_out_of_range_are_refused(model: ConformerModel, bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        model.sample("CC", **bad)


@pytest.mark.parametrize(
    "args",
    [
        ["Q"],
        ["CCCCCCCC"],
        ["CC", "--model", "none"],
        ["CC", "--count", "0"],
        ["CC", "--steps", "0"],
        ["CC", "--device", "nowhere"],
    ],
    ids=" ".join,
)
def test_bad_input_is_one_line_and_leaves_nothing(args: list[str], tmp_path: Path, capsys) -> None:
    """Exit code 2, one line on standard error, no file."""
    assert main(["molecules", "conformers", *args, "--out", str(tmp_path / "x.sdf")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("scidiff: ")
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_files_have_one_ending(model: ConformerModel, tmp_path: Path) -> None:
    samples = model.sample(["CCO", "CO"], 2, steps=2)
    with pytest.raises(ConfigError, match="ends in"):
        samples.save(tmp_path / "x.smi")
    read_back = [*Chem.SDMolSupplier(str(samples.save(tmp_path / "x.sdf")))]
    assert [m.GetProp("smiles") for m in read_back] == ["CCO", "CCO", "CO", "CO"]
    written = read_back[0].GetConformer().GetPositions()
    assert np.abs(written - samples[0].GetConformer().GetPositions()).max() <= 0.5e-4 + 1e-12


@pytest.mark.gpu
def test_a_network_on_a_gpu_draws_the_same_shapes() -> None:
    """Single precision of the network, amplified by ten steps: shapes agree far below a bond length."""
    from scidiff.domains.molecules.conformers import load

    here, there = (load(device=device).sample("OCCO", 4, steps=10)[0] for device in ("cpu", "cuda"))
    positions = [item.GetConformer().GetPositions() for item in (here, there)]
    assert np.abs(positions[0] - positions[1]).max() < 0.05


def test_another_model_is_refused() -> None:
    from scidiff.domains.molecules.conformers import load

    with pytest.raises(UnknownNameError):
        load("qm9")


def test_whole_numbers_of_a_ring() -> None:
    """Furan with a fluorine, by hand: elements, hydrogens, aromatic flags, classes, paths and rings."""
    atoms, pairs = encode(read("Fc1ccco1"))
    assert atoms.tolist() == [[3, 0, 0], [0, 0, 1], [0, 1, 1], [0, 1, 1], [0, 1, 1], [2, 0, 1]]
    assert pairs[0].tolist() == [[0, 0, 0], [1, 1, 0], [0, 2, 0], [0, 3, 0], [0, 3, 0], [0, 2, 0]]
    assert pairs[1].tolist() == [[1, 1, 0], [0, 0, 0], [4, 1, 3], [0, 2, 3], [0, 2, 3], [4, 1, 3]]
    assert np.array_equal(pairs, pairs.transpose(1, 0, 2))


@pytest.mark.parametrize("smiles", ["C[C@H](O)F", "C[C@H](O)[C@@H](F)N", "N[C@]1(F)CO1"])
def test_handedness_is_seen(smiles: str) -> None:
    """An embedded enantiomer matches its own marks and not those of its mirror image."""
    molecule = read(smiles)
    for cloud in embed(molecule, 3, 1):
        assert matches(place(molecule, cloud), molecule)
        assert not matches(place(molecule, -cloud), molecule)


@pytest.mark.parametrize(
    ("smiles", "other"), [("F/C=C/F", "F/C=C\\F"), ("C/C=N/O", "C/C=N\\O")], ids=["alkene", "oxime"]
)
def test_double_bonds_are_seen(smiles: str, other: str) -> None:
    molecule, wrong = read(smiles), read(other)
    for cloud in embed(molecule, 3, 1):
        assert matches(place(molecule, cloud), molecule)
        assert not matches(place(wrong, cloud), wrong)


def test_reference_conformers_do_not_depend_on_their_company(tmp_path: Path, monkeypatch) -> None:
    """The same conformers alone and among others, made or read from the cache; what cannot be made is counted."""
    monkeypatch.setenv("SCIDIFF_CACHE", str(tmp_path))
    many = conformer_set(["OCCO", "OC1=NC#C1", "CC#N"], 3, 1, progress=False)
    again = conformer_set(["OCCO", "OC1=NC#C1", "CC#N"], 3, 1, progress=False)
    alone = conformer_set(["CC#N"], 3, 1, progress=False)
    assert (many.smiles, many.left_out) == (["OCCO", "CC#N"], 1)
    assert np.array_equal(many.positions, again.positions)
    assert np.array_equal(many.positions[1], alone.positions[0])
    assert np.abs(many.positions.sum(2)).max() < 1e-5
    assert [part.smiles for part in common(many, alone)] == [["CC#N"], ["CC#N"]]
    nitrile = alone.positions[0, :, :3].astype(np.float64)
    lengths = np.linalg.norm(np.diff(nitrile, axis=1), axis=2)
    assert np.abs(lengths - [1.463, 1.160]).max() < 0.02  # MMFF94 keeps within 0.02 Å of experiment here


def test_a_damaged_cache_is_named(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("SCIDIFF_CACHE", str(tmp_path))
    conformer_set(["CC"], 1, 1, progress=False)
    (path,) = (tmp_path / "molecules").iterdir()
    path.write_bytes(b"not an archive")
    with pytest.raises(DataError, match="damaged"):
        conformer_set(["CC"], 1, 1, progress=False)


def test_the_loss_against_its_closed_forms(tmp_path: Path, monkeypatch) -> None:
    """The ideal velocity costs nothing; predicting 0 costs the squared velocity per degree of freedom."""
    monkeypatch.setenv("SCIDIFF_CACHE", str(tmp_path))
    task = build_task(["CCO", "CC(C)=O", "OCCO"], ["CCN"], ConformerConfig(1, 8, 4, 4), each=2, batch_size=64)
    assert torch.equal(task.batch(5, 0, 1).x0, task.batch(5, 0, 1).x0)
    batch = task.batch(0, 0, 1)
    seen: list[torch.Tensor] = []

    def nothing(x: torch.Tensor, level: torch.Tensor, condition: object) -> torch.Tensor:
        seen.extend((x, level))
        return torch.zeros_like(x)

    cost, parts = task.loss(nothing, batch, torch.Generator().manual_seed(1))
    x_t, level = seen[0].double(), seen[1].double()
    t = PROCESS.schedule.t(5.3 - level * 9.3).reshape(-1, 1, 1)
    alpha, sigma = PROCESS.schedule.alpha(t), PROCESS.schedule.sigma(t)
    velocity = (alpha * x_t - batch.x0) / sigma  # x_0 = alpha x_t - sigma v
    freedom = 3 * (batch.condition.mask.sum(1) - 1)
    each = velocity.square().sum((1, 2)) / freedom
    # level and cloud came in float32; at the finest level sigma = 0.005 divides their round-off
    assert float(cost) == pytest.approx(float(each.mean()), rel=1e-3)
    assert float(parts["loss_fine"]) == pytest.approx(float(each[level < 1 / 3].mean()), rel=1e-3)
    ideal, _ = task.loss(lambda *_: velocity.float(), batch, torch.Generator().manual_seed(1))
    assert float(ideal) < 1e-3 * float(cost)


def test_training_learns_one_molecule(tmp_path: Path, monkeypatch) -> None:
    """A run writes a model file; its loss has fallen, and the file loads into a model that draws.

    The loss of a cloud scatters by 0.4: the difference of two means over 640 clouds has a standard error of 0.023.
    """
    from scidiff.domains.molecules.conformers import load

    from scidiff.train import TrainConfig, train

    monkeypatch.setenv("SCIDIFF_CACHE", str(tmp_path))
    task = build_task(["CC(C)=O"], ["CC(C)=O", "CCO"], ConformerConfig(2, 16, 8, 8), each=2, batch_size=32)
    config = TrainConfig(steps=100, learning_rate=1e-2, warmup=5, ema=0.9, log_every=20)
    losses: list[float] = []
    result = train(
        task, config, tmp_path / "run", progress=False, on_log=lambda _, row: losses.append(row.get("loss", np.nan))
    )
    assert losses[0] > losses[4] + 0.1
    assert load(result.model).sample("CC(C)=O", steps=3).ok.all()
