"""Cards for notebooks: whole HTML, the right numbers, escaped names, and a note where a set is cut."""

from __future__ import annotations

import base64
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from rdkit import Chem
from scidiff.domains.ct.classical import Reconstruction
from scidiff.domains.ct.reconstruction import PosteriorImages
from scidiff.domains.ct.units import MU_WATER
from scidiff.domains.molecules.samples import MoleculeSamples
from scidiff.domains.molecules.validation import validate
from scidiff.domains.pde.flow_samples import FlowSamples
from scidiff.domains.proteins.ideal_chains import HELIX_TORSIONS, from_degrees

from scidiff.bench.report import Report
from scidiff.domain import Row
from scidiff.domains import ct, pde, proteins
from scidiff.io.html import card, facts, gallery, image, number, report_card, shown, table
from scidiff.sample.samples import Samples, Status

HOSTILE = '<script>alert("x")</script>&'
LARGEST = 300_000
VOID = {"img", "br", "hr", "meta"}


class Reader(HTMLParser):
    """Reads HTML: open tags, the text, and the tags and attributes that were met."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.met: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.met.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def read(text: str) -> tuple[str, Reader]:
    """Text of a card, after the rules that every card keeps: balanced, small, nothing that runs or is fetched."""
    seen = Reader(text)
    assert seen.open == []
    assert len(text) < LARGEST
    assert not {"script", "link", "iframe", "object", "style"} & {tag for tag, _ in seen.met}
    for _, attributes in seen.met:
        assert not any(name.startswith("on") for name in attributes)
        assert (attributes.get("src") or "data:image/").startswith("data:image/")
    return " ".join(" ".join(seen.words).split()), seen


def pictures(text: str) -> list[bytes]:
    return [base64.b64decode(part) for part in re.findall(r'src="data:image/[^,]*,([^"]*)"', text)]


def bare(count: int, **records: np.ndarray) -> Samples:
    return Samples(
        [None] * count, [Status.OK] * count, np.arange(count), 7, np.full(count, 20), records, {"model": HOSTILE}
    )


def test_numbers_are_written_for_people() -> None:
    assert [number(x) for x in (None, True, 3, 0.123456, math.nan, "a")] == [
        "not known",
        "yes",
        "3",
        "0.1235",
        "nan",
        "a",
    ]
    assert number([1, 2.0]) == "1, 2"
    assert number(list(range(9))) == "0, 1, 2, 3, 4, 5, 6, 7, … (9 in all)"


def test_every_text_is_escaped() -> None:
    parts = [
        table([HOSTILE], [[HOSTILE]], noun=HOSTILE, most=0),
        table([HOSTILE], [[HOSTILE]]),
        facts({HOSTILE: HOSTILE}),
        image(b"", HOSTILE),
        gallery([("", HOSTILE)], 2, HOSTILE),
        report_card(HOSTILE, {HOSTILE: {"value": HOSTILE, HOSTILE: HOSTILE}, "a": [{HOSTILE: HOSTILE}]}),
        shown(1, 2, HOSTILE),
    ]
    _, seen = read(card(HOSTILE, *parts))
    assert "".join(seen.words).count(HOSTILE) == 17
    alternatives = [attributes["alt"] for tag, attributes in seen.met if tag == "img"]
    assert alternatives == [HOSTILE, HOSTILE]


def test_a_long_table_says_how_many_rows_it_has() -> None:
    words, seen = read(table(["k"], [[k] for k in range(100)], noun="things"))
    assert "60 of 100 things are shown" in words
    assert sum(tag == "td" for tag, _ in seen.met) == 60
    assert "shown" not in table(["k"], [[k] for k in range(60)])


def test_a_gallery_stops_before_it_is_large() -> None:
    words, _ = read(gallery([(b"\0" * 60_000, "one")] * 9, 9, "things"))
    assert "2 of 9 things are shown" in words


def test_a_report_shows_intervals_beside_numbers() -> None:
    values = {
        "valid": 0.5, "valid_interval": [0.25, 0.75], "chi2": 1.0, "chi2_band": (0.9, 1.1),
        "shares": {"rule": {"value": 0.125, "interval": [0.0, 0.25], "real_chains": 0.875}},
        "metrics": {"fcd": {"value": 2.5, "low": 2.0, "high": 3.0, "count": 10, "note": "few"}},
        "rows": [{"name": "q", "value": 4.0}],
    }  # fmt: skip
    words, _ = read(report_card("title", values))
    for part in ("valid 0.5 [0.25, 0.75]", "chi2 1 band 0.9 to 1.1", "shares: rule 0.125 [0, 0.25] real chains 0.875"):
        assert part in words
    assert "metrics: fcd 2.5 [2, 3] note few" in words and "q 4" in words
    assert "interval" not in words and words.count("band") == 1


def test_samples_without_pictures_show_their_records() -> None:
    samples = bare(4, cost=np.array([1.0, 2.0, 3.0, np.nan]))
    samples.status[1:] = [Status.INVALID, Status.NON_FINITE, Status.OK]  # type: ignore[index]
    words, _ = read(samples._repr_html_())
    assert words.startswith("4 samples ok 2 of 4 · invalid 1 · non_finite 1")
    assert "cost 1 2 3" in words and "seed 7 · calls each 20" in words and HOSTILE in words


def molecules(smiles: list[str]) -> MoleculeSamples:
    items = [Chem.MolFromSmiles(one) for one in smiles]
    status = [Status.OK if item else Status.INVALID for item in items]
    return MoleculeSamples(items, status, np.arange(len(items)), 0, np.full(len(items), 5))


def test_molecules_are_drawn_with_their_smiles() -> None:
    text = molecules(["CCO", "c1ccccc1"] * 10)._repr_html_()
    words, _ = read(text)
    assert "20 molecules" in words and "12 of 20 molecules are shown" in words
    assert words.count("c1ccccc1") == 6 and all(b"<svg" in one for one in pictures(text))


def test_large_molecules_stay_small_on_the_page() -> None:
    chain = "C1CC(=O)NC1" + "c1ccc(cc1)C(F)(F)" * 12 + "O"
    words, _ = read(molecules([chain] * 12)._repr_html_())
    assert re.search(r"\d of 12 molecules are shown", words)


def test_no_valid_molecule_is_said() -> None:
    quiet = Chem.MolFromSmiles("C")
    samples = MoleculeSamples([None, quiet], [Status.INVALID, Status.OK], np.arange(2), 0, np.zeros(2)).take([0])
    assert "no valid molecule" in read(samples._repr_html_())[0]


def test_the_rules_that_molecules_break_are_named() -> None:
    words, _ = read(validate(["CCO", "C[CH2]", None])._repr_html_())
    assert "1 [CH2]C radical" in words and "2 not readable not returned" in words and "valid 0.3333 [" in words


def test_chains_are_drawn_and_names_escaped() -> None:
    one = from_degrees([HELIX_TORSIONS] * 12)
    many = proteins.Chains.cat([one] * 9)
    named = proteins.Chains(many.xyz, many.mask, names=(HOSTILE, *map(str, range(8))))
    text = named._repr_html_()
    words, seen = read(text)
    assert (
        "9 chains" in words and "8 of 9 chains are shown" in words and f"residues {len(one.mask[0])} · labels" in words
    )
    assert pictures(text)[0].startswith(b"\x89PNG")
    assert HOSTILE in next(attributes["alt"] or "" for tag, attributes in seen.met if tag == "img")
    words, _ = read(proteins.validate(named)._repr_html_())
    assert "all gates together" in words and "8 of 9 chains are shown" in words


def posterior(count: int) -> PosteriorImages:
    samples = 0.02 + 0.001 * torch.arange(count * 64, dtype=torch.float64).reshape(count, 8, 8) % 0.01
    return PosteriorImages(
        samples, ct.Grid.square(8, 16.0), HOSTILE, "exact", torch.full((count,), 1.25), 0.75, (0.9, 1.1), 0.2,
        samples.mean(0), 1.5, 3.0, 0.1, 0.0, torch.ones(count, dtype=torch.bool),
    )  # fmt: skip


@pytest.mark.parametrize("count", [1, 3])
def test_images_show_their_fit_and_their_unit(count: int) -> None:
    text = posterior(count)._repr_html_()
    words, _ = read(text)
    assert HOSTILE in words and "1.25 0.900 to 1.100" in words and "0.75 0.700 to 0.900" in words
    assert "held-out views 1.5" in words and "1/mm, in brackets HU" in words
    assert pictures(text)[0].startswith(b"\x89PNG")


def test_a_classical_image_has_no_deviation() -> None:
    result = Reconstruction(torch.full((8, 8), MU_WATER, dtype=torch.float64), ct.Grid.square(8, 16.0), HOSTILE, 1.25)
    words, _ = read(result._repr_html_())
    assert HOSTILE in words and "chi²/n 1.25" in words and "converged yes" in words and "0.0193 (0)" in words


@pytest.mark.parametrize("name", ["parallel", "fan", "cone"])
def test_a_geometry_is_drawn_to_scale(name: str) -> None:
    angles = ct.even_angles(8, 2 * math.pi)
    made = {
        "parallel": lambda: ct.Parallel(angles, 64, 2.0),
        "fan": lambda: ct.Fan(angles, 64, 4.0, None, 500.0, 900.0),
        "cone": lambda: ct.Cone(angles, 64, 4.0, None, 500.0, 900.0, rows=5),
    }[name]()
    text = made._repr_html_()
    words, _ = read(text)
    assert "views 8" in words and f"radius {made.field_of_view:.4g} mm" in words
    drawn = pictures(text)[0].decode()
    detector = re.search(r'<line x1="([\d.]+)" y1="([\d.]+)" x2="([\d.]+)" y2="([\d.]+)" stroke="#1c2430"', drawn)
    seen = re.search(r'cx="150.0" cy="150.0" r="([\d.]+)"', drawn)
    assert detector and seen
    left, top, right, bottom = map(float, detector.groups())
    # one scale for all: 63 pixels of the detector against the field of view, drawn to a tenth of a pixel
    assert abs(right - left) / float(seen[1]) == pytest.approx(63 * made.pitch / made.field_of_view, rel=0.01)
    assert top == bottom < 150


def test_flows_are_drawn_and_cut() -> None:
    solid = np.zeros((9, 16, 16), dtype=bool)
    fields = [np.random.default_rng(k).normal(size=(2, 16, 16)) for k in range(9)]
    records = {"divergence": np.full(9, 2e-16)}
    samples = FlowSamples(fields, [Status.OK] * 9, np.arange(9), 0, np.full(9, 4), records, {}, solid)
    text = samples._repr_html_()
    words, _ = read(text)
    assert "8 of 9 flows are shown" in words and "divergence 2e-16 2e-16 2e-16" in words
    assert len(pictures(text)) == 1


def test_fields_of_a_problem_are_drawn_with_their_certificate() -> None:
    one = pde.problem("poisson", size=16)
    samples = pde.sample(one, 2, seed=0)
    text = samples._repr_html_()
    words, _ = read(text)
    assert "label exact" in words and "1 of 2 samples are shown" in words and "relative" in words
    assert len(pictures(text)) == 1
    words, _ = read(one._repr_html_())
    assert "source m^-2 drawn" in words and "potential 1 solved" in words
    assert "residual max" in read(samples.certificate()._repr_html_())[0]


def test_a_benchmark_shows_what_misses_its_bar() -> None:
    row = Row(HOSTILE, "measured", 0.5, (0.25, 0.75), bar=0.9, baseline=0.1, baseline_name="old")
    words, _ = read(Report("core", {"protocol": "1"}, (row,))._repr_html_())
    assert "0.5 [0.25, 0.75]" in words and "≥ 0.9 no" in words and "0.1 old" in words
