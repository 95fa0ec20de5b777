"""The report as a whole: order, workers, cache, training row, JSON, refusals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scidiff.domains.molecules.metrics import METRICS, MoleculeSet, Settings, evaluate, golden_check
from scidiff.domains.molecules.metrics.chemnet import activations
from scidiff.domains.molecules.metrics.fcd import load_statistics, statistics_path
from scidiff.domains.molecules.metrics.frechet import frechet_distance, merge, moments
from scidiff.domains.molecules.metrics.parallel import parallel_map
from scidiff.domains.molecules.metrics.parsing import judge

from scidiff.errors import ConfigError, DataError, IntegrityError, UnknownNameError

CHAINS = ["C" * k + tail for k in range(1, 7) for tail in ("O", "N", "C=O", "C#N")]
RINGS = ["C1CC1", "C1CCC1O", "c1ccccc1", "c1ccncc1", "C1CCOC1", "c1ccc2ccccc2c1", "C1CC2CC1CC2", "O=C1CCCC1"]
FEW = [*CHAINS[:12], *RINGS]


@pytest.fixture
def settings(tmp_path):
    return Settings(cache=tmp_path / "cache")


def numbers(report) -> dict[str, tuple]:
    return {name: (row.value, row.low, row.high, row.count) for name, row in report.rows.items()}


def test_the_order_of_the_lists_does_not_matter(settings):
    generated = [*FEW, None, "CCO", "CCO", "nonsense"]
    turned = [generated[k] for k in np.random.default_rng(0).permutation(len(generated))]
    one = evaluate(generated, reference=CHAINS, train=RINGS, bootstrap=20, settings=settings)
    other = evaluate(turned, reference=CHAINS[::-1], train=RINGS[::-1], bootstrap=20, settings=settings)
    assert numbers(one) == numbers(other)
    assert {name: row.value for name, row in one.train_rows.items()} == {
        name: row.value for name, row in other.train_rows.items()
    }


def test_every_metric_is_reported_with_its_interval_and_the_seed_decides_it(settings):
    two_rings = ["c1ccc2ccccc2c1", "C1CC2CC1CC2"]
    one, other = (
        evaluate(FEW, reference=CHAINS + two_rings, train=RINGS, bootstrap=20, seed=seed, settings=settings)
        for seed in (0, 1)
    )
    assert set(one.rows) == set(METRICS) - {"unique@1000", "unique@10000", "filters"}
    for name, row in one.rows.items():
        assert row.note, name
        assert row.value is not None, name
        assert "no interval" in row.note if name == "scaf" else row.low <= row.value <= row.high, name
        assert name == "fcd_extrapolated" or other[name].value == pytest.approx(row.value, rel=1e-6), name
    assert one["qed"].low != other["qed"].low


def test_the_training_row_uses_as_many_molecules(settings):
    report = evaluate(FEW[:5], reference=CHAINS, train=CHAINS + RINGS, fcd=False, bootstrap=10, settings=settings)
    assert report.train_count == 5
    assert report.train_rows["valid"].count == 5 and report.train_rows["valid"].value == 1.0
    assert "novel" not in report.train_rows and "sc_nov" not in report.train_rows and "sc_ret" in report.train_rows
    small = evaluate(FEW, reference=CHAINS, train=RINGS, metrics=["snn"], settings=settings)
    assert small.train_count == len(RINGS)


def test_the_report_is_one_json_object(settings):
    report = evaluate(["CCO", None], reference=["CCO"], train=["C"], fcd=False, bootstrap=2, settings=settings)
    found = json.loads(report.to_json())
    assert found["metrics"]["valid"]["value"] == 0.5 and found["metrics"]["valid"]["count"] == 2
    assert found["metrics"]["scaf"]["value"] is None
    assert found["valid"] == 0.5 and found["valid_interval"][0] < 0.5 < found["valid_interval"][1]
    assert (found["count"], found["count_valid"]) == (2, 1)
    assert found["protocol"].startswith("scidiff.molecules.metrics/") and found["split"] == "reference"
    assert found["seconds"]["total"] > 0 and found["sources"]["reference"]["count"] == 1
    rows = report.table()
    assert [row["name"] for row in rows] == list(report.rows)
    assert {"name", "value", "low", "high", "count", "note", "training_set"} == set(rows[0])


def test_fcd_follows_from_one_pass_over_the_molecules(settings):
    """The distance from the merged groups is the distance of the whole sets, and so is the one from the cache."""
    report = evaluate(FEW, reference=CHAINS, metrics=["fcd", "fcd_score"], settings=settings)
    sets = [MoleculeSet.read(smiles)[0] for smiles in (FEW, CHAINS)]
    direct = frechet_distance(*(moments(activations(molecules.smiles)) for molecules in sets))
    assert report["fcd"].value == pytest.approx(direct, rel=1e-5)  # float32 activations of other batches
    cached = [merge(load_statistics(statistics_path(sets[k].smiles, k, settings.cache))) for k in (0, 1)]
    assert frechet_distance(*cached) == pytest.approx(report["fcd"].value, rel=1e-10)
    assert report["fcd_score"].value == pytest.approx(np.exp(-report["fcd"].value / 5))


def test_activations_are_those_of_fcd_torch():
    fcd_torch = pytest.importorskip("fcd_torch")
    smiles = ["CCO", "c1ccccc1", "CC(=O)Nc1ccc(O)cc1", "C#N", "O=C1CCCC1"]
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        published = fcd_torch.FCD().get_predictions(smiles)
    one, many = activations(smiles, batch=2), activations(smiles, threads=1)
    np.testing.assert_allclose(one, published, atol=1e-5)  # float32, sums of 512 terms
    np.testing.assert_allclose(one, many, atol=1e-5)


def test_reference_statistics_are_read_from_the_cache(settings, monkeypatch):
    from scidiff.domains.molecules.metrics import fcd

    first = evaluate(FEW, reference=CHAINS, metrics=["fcd"], settings=settings)
    monkeypatch.setattr(fcd, "activations", lambda *_, **__: pytest.fail("computed again"))
    again = evaluate(FEW[::-1], reference=CHAINS, metrics=["fcd"], settings=settings)
    assert again["fcd"] == first["fcd"]


def test_a_damaged_cache_is_an_error(settings):
    evaluate(FEW, reference=CHAINS, metrics=["fcd"], settings=settings)
    for path in (settings.cache / "fcd").glob("*.npz"):
        path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(IntegrityError, match="delete the file"):
        evaluate(FEW, reference=CHAINS, metrics=["fcd"], settings=settings)


def test_the_cache_knows_sets_and_seeds_apart(tmp_path):
    names = {
        statistics_path(smiles, seed, tmp_path).name
        for smiles in (["C", "N"], ["C"], ["CN"], ["C", "C"])
        for seed in (0, 1)
    }
    assert len(names) == 8


def test_the_default_cache_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("SCIDIFF_CACHE", str(tmp_path))
    evaluate(FEW, reference=CHAINS, metrics=["fcd"])
    assert len(list((tmp_path / "fcd").glob("*.npz"))) == 2


def test_small_sets_have_a_raw_distance_only(settings):
    report = evaluate(["CCO", "CCN"], reference=CHAINS, metrics=["fcd", "fcd_extrapolated"], settings=settings)
    assert report["fcd"].value > 0 and report["fcd"].low is None
    assert report["fcd_extrapolated"].value is None and "16" in report["fcd_extrapolated"].note


@pytest.mark.slow
def test_workers_do_not_change_the_result(settings):
    smiles = CHAINS * 30
    assert parallel_map(judge, smiles, 2, chunk=100) == [judge(text) for text in smiles]
    two = Settings(cache=settings.cache, workers=2)
    metrics = ["valid", "qed", "frag", "snn"]
    one = evaluate(smiles, reference=CHAINS, metrics=metrics, settings=settings)
    assert numbers(one) == numbers(evaluate(smiles, reference=CHAINS, metrics=metrics, settings=two))


def test_nothing_valid_gives_zero_rates_and_no_distances(settings):
    report = evaluate([None, "None", "", "xyz"], reference=CHAINS, bootstrap=10, settings=settings)
    assert report["valid"].value == 0.0 and report["valid_returned"].value == 0.0 and report["vu"].value == 0.0
    assert report["unique"].value is None and report["fcd"].value is None and report["snn"].value is None
    assert report.returned == 1


def test_sets_say_what_was_left_out(settings):
    report = evaluate(["CCO"], reference=["CCO", "xyz", "CC"], metrics=["valid"], settings=settings)
    assert report.sources["reference"]["invalid"] == 1 and report.sources["reference"]["count"] == 2


def test_without_resampling_there_are_no_resampled_intervals(settings):
    report = evaluate(FEW, reference=CHAINS, metrics=["valid", "unique", "qed"], bootstrap=0, settings=settings)
    assert report["unique"].low is None and report["qed"].low is None and report["valid"].low is not None


def test_refusals(settings):
    with pytest.raises(UnknownNameError, match="Did you mean 'valid'"):
        evaluate(["C"], reference=["C"], metrics=["vaild"], settings=settings)
    with pytest.raises(ConfigError, match="needs train"):
        evaluate(["C"], reference=["C"], metrics=["novel"], settings=settings)
    with pytest.raises(ConfigError, match="needs moses_rules"):
        evaluate(["C"], reference=["C"], metrics=["filters"], settings=settings)
    with pytest.raises(ConfigError, match="attempts"):
        evaluate(["C", "C"], reference=["C"], settings=Settings(attempts=1))
    with pytest.raises(ConfigError, match="bootstrap"):
        evaluate(["C"], reference=["C"], bootstrap=1, settings=settings)
    with pytest.raises(ConfigError, match="workers"):
        evaluate(["C"], reference=["C"], settings=Settings(workers=0))
    with pytest.raises(DataError, match="smiles is empty"):
        evaluate([], reference=["C"], settings=settings)
    with pytest.raises(DataError, match="one string"):
        evaluate("CCO", reference=["C"], settings=settings)
    with pytest.raises(DataError, match="no valid molecule"):
        evaluate(["C"], reference=["xyz"], settings=settings)
    with pytest.raises(DataError, match="float"):
        evaluate([1.0], reference=["C"], settings=settings)


def golden_file() -> Path:
    path = Path(os.environ.get("SCIDIFF_DATA", "")) / "golden" / "digress_qm9_noh.txt"
    if not os.environ.get("SCIDIFF_DATA") or not path.is_file():
        pytest.skip("the golden file is not in $SCIDIFF_DATA")
    return path


def test_the_golden_file():
    found = golden_check(golden_file())
    assert (found.attempts, found.valid, found.distinct) == (10_000, 9_921, 9_611)
    assert round(found.valid_percent, 1) == 99.2 and round(found.unique_percent, 1) == 96.9 and found.passed


def test_another_file_is_not_the_golden_one(tmp_path):
    (tmp_path / "other.txt").write_text("CCO\n")
    with pytest.raises(IntegrityError, match="SHA-256"):
        golden_check(tmp_path / "other.txt")
    with pytest.raises(DataError, match="cannot read"):
        golden_check(tmp_path / "missing.txt")


def test_workers_start_without_torch():
    """What a worker imports to compute a feature is RDKit, not torch: it starts in a fraction of a second."""
    modules = "molecule_set, morgan, parsing"
    code = f"from scidiff.domains.molecules.metrics import {modules}; import sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], check=False).returncode == 0
