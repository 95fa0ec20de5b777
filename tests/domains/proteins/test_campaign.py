"""Backbones in campaigns, with a stand-in for the model: what is drawn, judged, compared and written."""

from __future__ import annotations

import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scidiff.domains.proteins import campaign as adapter
from scidiff.domains.proteins import read
from scidiff.domains.proteins.ideal_chains import HELIX_TORSIONS, STRAND_TORSIONS, uniform_chain

from scidiff import campaign
from scidiff.campaign import worker
from scidiff.errors import DataError, ScidiffError
from scidiff.random import Noise
from scidiff.sample.samples import Status


class Helices:
    """Draws straight helices; every fifth one has its atoms moved by half an angstrom."""

    def sample(self, count, length=24, *, steps, seed, first, temperature=1.0, secondary=None):
        noise = Noise.range(seed, count, first).normal((length, 3, 3), step=0, stream="stand-in")
        bad = (torch.arange(first, first + count) % 5 == 0).to(noise)
        chains = uniform_chain(length, HELIX_TORSIONS)
        xyz = chains.xyz.expand(count, -1, -1, -1) + 0.5 * bad[:, None, None, None] * noise
        mask = torch.ones(count, length, dtype=torch.bool)
        status = [Status.INVALID if each else Status.OK for each in bad.bool()]
        whole = type(chains)(xyz, mask)
        return SimpleNamespace(chains=whole, status=status, records={"moved": bad.numpy()}, calls=np.full(count, steps))


@pytest.fixture
def helices(monkeypatch):
    """Put the stand-in in the place of the model."""
    changed = {"fingerprint": lambda model: "stand-in", "load": lambda model, device: Helices()}
    stand_in = adapter.CampaignAdapter(**{**vars(adapter.ADAPTER), **changed})
    monkeypatch.setattr(adapter, "ADAPTER", stand_in)
    yield
    worker._plan.cache_clear()
    worker._loaded.cache_clear()


SPEC = {
    "domain": "proteins",
    "model": "chains",
    "count": 6,
    "sampler": {"steps": 4},
    "conditions": {"length": [20, 30]},
    "scores": [{"name": "psea_helix"}, {"name": "regular"}, {"name": "size", "of": "length"}],
    "filters": [{"score": "psea_helix", "least": 0.5}],
    "shards": {"rows": 4},
}


def test_chains_are_judged_and_leave_as_mmcif(helices, tmp_path):
    outcome = campaign.run(campaign.parse(SPEC), tmp_path / "run", workers=0)
    assert not outcome.quarantined
    assert (outcome.rows, outcome.valid, outcome.accepted) == (12, 9, 9)
    assert campaign.export(tmp_path / "run", tmp_path / "all.zip") == 9
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        names = archive.namelist()
        archive.extractall(tmp_path)
    assert len(names) == 9
    for name in names:
        number = int(name[:-4].rpartition("-")[2])
        chains = read(tmp_path / name).chains
        expected = uniform_chain(20 if number < 6 else 30, HELIX_TORSIONS)
        # mmCIF holds three decimals
        assert (chains.xyz[chains.mask] - expected.xyz[0]).abs().max() < 6e-4
    assert campaign.export(tmp_path / "run", tmp_path / "some.cif", condition='accepted and "length" = 20') == 4
    with pytest.raises(DataError, match="lengths"):
        campaign.export(tmp_path / "run", tmp_path / "mixed.cif")


def test_the_distance_of_two_chains_is_that_of_their_inner_distances():
    chains = [uniform_chain(31, pair).xyz[0].float().numpy() for pair in (HELIX_TORSIONS, STRAND_TORSIONS)]
    turned = chains[0] @ np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0].astype(np.float32)
    a, b, c = adapter._features({"backbone": [*chains, turned]})
    # 31 residues: the 16 ends are every second CA
    inner = [np.linalg.norm(x[::2, 1][:, None] - x[::2, 1][None], axis=-1)[np.triu_indices(16, 1)] for x in chains]
    assert np.linalg.norm(a - b) == pytest.approx(np.sqrt(np.mean((inner[0] - inner[1]) ** 2)), rel=1e-5)
    # float32 coordinates of 50 angstroms: round-off 4e-6 each
    assert np.linalg.norm(a - c) < 1e-4


@pytest.mark.parametrize(
    ("name", "value"),
    [("length", 5), ("length", 30.0), ("temperature", 0), ("secondary", 3), ("secondary", "HHX")],
    ids=["short", "float", "cold", "number", "letter"],
)
def test_values_of_no_use_are_refused(name, value):
    with pytest.raises(ScidiffError):
        adapter.ADAPTER.conditions[name]("chains", value)


def test_a_model_that_is_not_there_is_refused():
    with pytest.raises(ScidiffError, match="model: unknown protein model"):
        campaign.open_plan(campaign.parse({**SPEC, "model": "nosuch"}))
