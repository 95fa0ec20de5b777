"""Command line of the domain: ``scidiff ct simulate | reconstruct | validate | import | train``."""

from __future__ import annotations

import math
import time
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from scidiff.errors import ConfigError, UnknownNameError
from scidiff.io.command import Device, Json, Seed, bar, tell

from .datasets.import_command import import_data
from .priors.train_command import train

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from .grid import Grid
    from .scan import Scan

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Reconstruct images from X-ray scans, with their error.")
app.command()(train)
app.command("import")(import_data)

Result = TypeVar("Result")
Place = tuple[int, float | None, int, float | None, float | None]
Size = Annotated[int, typer.Option(help="Pixels on each edge of the image.", min=8)]
Extent = Annotated[float | None, typer.Option(help="Edge of the image, mm; by default what all views see.")]
File = Annotated[Path, typer.Argument(help="Scan: .npz, HDF5 (data-exchange or NeXus), or .mat of the HTC 2022.")]
Row = Annotated[int, typer.Option(help="Detector row of an HDF5 file.", min=0)]
Pitch = Annotated[float | None, typer.Option(help="Detector pitch of an HDF5 file, mm, where it states none.")]
Centre = Annotated[float | None, typer.Option(help="Detector column of the axis; by default found, or the file's.")]


@app.command()
def simulate(
    out: Annotated[Path, typer.Option(help="Scan to write: .npz.")],
    phantom: Annotated[str, typer.Option(help="Name of a phantom; an unknown name lists them.")] = "shepp-logan",
    views: Annotated[int, typer.Option(help="Number of views.", min=1)] = 60,
    columns: Annotated[int, typer.Option(help="Number of detector pixels.", min=8)] = 128,
    arc: Annotated[float, typer.Option(help="Arc of the views, degrees.")] = 180.0,
    photons: Annotated[float, typer.Option(help="Photons that an unattenuated ray counts.")] = 2e4,
    fan: Annotated[
        float | None, typer.Option(help="Distance of the source from the axis, mm; parallel without.")
    ] = None,
    ring_sd: Annotated[float, typer.Option(help="Drift of the gain of detector columns (rings).")] = 0.0,
    axis_error: Annotated[float, typer.Option(help="True minus stated rotation axis, columns.")] = 0.0,
    seed: Seed = 0,
    to_json: Json = None,
) -> None:
    """Scan a phantom: exact line integrals, photon noise, scanner faults."""
    from .geometry import Fan, Parallel, even_angles
    from .readers import write_scan
    from .simulation import simulate as run

    body = _phantom(phantom, seed)
    angles, pitch = even_angles(views, math.radians(arc)), 1.5 * body.extent / columns
    geometry = Parallel(angles, columns, pitch)
    if fan is not None:
        geometry = Fan(angles, columns, 2 * pitch, source_axis=fan, source_detector=2 * fan)
    scan = run(body, geometry, photons, seed, ring_sd=ring_sd, axis_error=axis_error)
    write_scan(out, scan)
    facts = {"out": str(out), "phantom": body.name, "views": views, "photons": photons, "seed": seed}
    tell(facts, to_json, [f"{body.name}: {views} views of {columns} pixels to {out}"])


@app.command()
def reconstruct(
    file: File,
    out: Annotated[Path, typer.Option(help="Write .png, .npz, .tif, .nii, .nii.gz, .zarr, .dicom (a folder).")],
    method: Annotated[
        str, typer.Option(help="posterior, dps, dpir, ...; or without a prior: fbp, sirt, cgls, pwls, tv.")
    ] = "posterior",
    prior: Annotated[str | None, typer.Option(help="ct, gaussian, or a .safetensors file; ct by default.")] = None,
    count: Annotated[int | None, typer.Option(help="Samples of a method with a prior; 8 by default.", min=1)] = None,
    steps: Annotated[
        int | None, typer.Option(help="Noise levels of a method with a prior; 20 by default.", min=1)
    ] = None,
    holdout: Annotated[int, typer.Option(help="Views to hold out and predict.", min=0)] = 0,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the draws of a method with a prior; 0 by default.", min=0)
    ] = None,
    size: Size = 128,
    extent: Extent = None,
    row: Row = 0,
    pitch: Pitch = None,
    centre: Centre = None,
    device: Device = "cpu",
    to_json: Json = None,
) -> None:
    """Reconstruct one slice: samples with their error, or one image whose weight comes from the noise of the scan."""
    from .classical import METHODS
    from .methods.registry import LATENT
    from .methods.registry import METHODS as WITH_PRIOR

    place = (size, extent, row, pitch, centre)
    drawn = {"count": count, "steps": steps, "seed": seed}
    if method in WITH_PRIOR or method in LATENT:
        law, options = "ct" if prior is None else prior, {"count": 8, "steps": 20, "seed": 0}
        options |= {name: value for name, value in drawn.items() if value is not None}
        _with_prior(file, out, method, law, {**options, "holdout": holdout}, place, device, to_json)
        return
    if method not in METHODS:
        raise UnknownNameError("method", method, [*METHODS, *WITH_PRIOR])
    useless = [f"--{name} {value}" for name, value in {"prior": prior, **drawn}.items() if value is not None]
    if useless:
        raise ConfigError(
            f"{', '.join(useless)} came with method '{method}', which uses none of these: it has no prior and draws "
            "nothing; leave them out, or choose a method with a prior"
        )
    if device != "cpu":
        raise ConfigError(f"--device {device} came with method '{method}', which has no network; leave it out")
    _without_prior(file, out, method, holdout, place, to_json)


def _without_prior(file: Path, out: Path, method: str, holdout: int, place: Place, to_json: Path | None) -> None:
    """Make the one image of a classical method; views that are held out judge it."""
    from .readers import save_volume
    from .readers.write import writer_for
    from .volume import Volume

    if out.suffix != ".png":
        writer_for(out)
    size, extent, row, pitch, centre = place
    scan = _load(file, row, pitch, centre)
    grid = _grid(scan, size, extent)
    make = _whole if holdout == 0 else partial(_held_out, holdout)
    (image, facts), remarks = _told(lambda: make(method, scan, grid))
    if out.suffix == ".png":
        _picture(out, image, grid, facts["method"])
    else:
        save_volume(out, Volume(image.float(), grid, facts={**scan.facts, **facts}))
    low, high = facts["chi2_band"]
    line = (
        f"{facts['method']}: chi^2/n {facts['chi2']:.3f} (truth {low:.3f} to {high:.3f}){_predicted(facts)}, "
        f"{facts['seconds']:.1f} s, to {out}"
    )
    remarks += facts.pop("remarks", [])
    tell({"out": str(out), "remarks": remarks, **facts}, to_json, [line, *remarks])


def _whole(method: str, scan: Scan, grid: Grid) -> tuple[Tensor, dict[str, Any]]:
    """Image of a classical method from all views, and its facts."""
    from .classical import METHODS
    from .validation import validate as check

    begun = time.perf_counter()
    result = METHODS[method](scan, grid)
    seconds = time.perf_counter() - begun
    facts = {"method": result.method, "seconds": seconds, "iterations": result.iterations, **result.facts}
    return result.image, {**facts, "converged": result.converged, **check(scan, result.image, grid).as_json()}


def _held_out(holdout: int, method: str, scan: Scan, grid: Grid) -> tuple[Tensor, dict[str, Any]]:
    """Image of a classical method without some views, and its facts, with how it predicts them."""
    from .methods import reconstruct as run

    result = run(scan, method=method, grid=grid, holdout=holdout)
    return result.mean, result.as_json()


def _predicted(facts: Mapping[str, Any]) -> str:
    """How views that were held out are predicted, where there are any."""
    unseen = facts.get("held_out_chi2")
    return "" if unseen is None else f", {unseen:.3f} of views held out"


def _with_prior(
    file: Path,
    out: Path,
    method: str,
    prior: str,
    options: Mapping[str, int],
    place: Place,
    device: str,
    to_json: Path | None,
) -> None:
    """Draw samples; an image file gets their mean, ``.npz`` and ``.png`` all there is."""
    from .methods import reconstruct as run
    from .methods.run import find_prior
    from .readers import save_volume
    from .readers.write import writer_for
    from .volume import Volume

    size, extent, row, pitch, centre = place
    whole = out.suffix in (".npz", ".png")
    if not whole:
        writer_for(out)
    scan = _load(file, row, pitch, centre)
    grid = _grid(scan, size, extent)
    law = find_prior(prior, device)
    with bar(method) as advance:
        result = run(scan, law, method, grid=grid, progress=advance, **options)
    if whole:
        result.save(out)
    else:
        save_volume(out, Volume(result.mean.float(), grid, facts={**scan.facts, **result.as_json()}))
    low, high = result.band
    facts = {"out": str(out), **result.as_json()}
    line = (
        f"{result.method} ({result.label}), {options['count']} samples: chi^2/n {facts['chi2']:.3f} of a sample (exact "
        f"{low:.3f} to {high:.3f}){_predicted(facts)}, {result.calls:.0f} calls, {result.seconds:.1f} s, to {out}"
    )
    tell(facts, to_json, [line, *result.remarks])


@app.command()
def validate(file: File, row: Row = 0, pitch: Pitch = None, centre: Centre = None, to_json: Json = None) -> int:
    """Check a scan: units, truncation, views that come twice, background; exit code 1 if something is found."""
    scan = _load(file, row, pitch, centre)
    facts = {
        "file": str(file),
        "shape": list(scan.geometry.shape),
        "used": scan.used,
        "findings": [finding.code for finding in scan.findings],
        **{name: value for name, value in scan.facts.items() if isinstance(value, int | float | str)},
    }
    lines = [f"{name}: {value}" for name, value in facts.items()]
    tell(facts, to_json, lines + [f"{finding.code}: {finding.message}" for finding in scan.findings])
    return 1 if scan.findings else 0


def _phantom(name: str, seed: int) -> Any:
    """A phantom by name; drawn ones take the seed."""
    from . import phantoms

    fixed = ("shepp-logan", "forbild-like", "tooth-like", "water-disc")
    drawn = ("random-ellipses", "disc-with-holes", "foam", "bead-pack")
    if name not in fixed + drawn:
        raise UnknownNameError("phantom", name, fixed + drawn)
    make = getattr(phantoms, name.replace("-", "_"))
    return make(seed) if name in drawn else make()


def _load(file: Path, row: int, pitch: float | None, centre: float | None) -> Scan:
    """Read a scan; remarks are told by the command, not as warnings."""
    from .checks import ScanWarning
    from .readers import read_scan

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScanWarning)
        return read_scan(file, row=row, pitch=pitch, centre=centre)


def _told(make: Callable[[], Result]) -> tuple[Result, list[str]]:
    """Make something; its warnings come back as lines."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = make()
    return made, [str(one.message) for one in caught]


def _picture(out: Path, image: Tensor, grid: Grid, title: str) -> None:
    """Write one image with its scale."""
    import numpy as np

    from scidiff.io.files import atomic_write

    from .panels import Panel, panels_png

    low, high = np.quantile(image.numpy(), (0.001, 0.999))
    with atomic_write(out, mode="wb") as file:
        file.write(panels_png([Panel(title, image, (min(0.0, float(low)), float(high)))], grid))


def _grid(scan: Scan, size: int, extent: float | None) -> Grid:
    """Square image around the axis."""
    from .grid import Grid

    if scan.geometry.dimension != 2:
        raise ConfigError(
            "the scan is three-dimensional; this command reconstructs one slice: use the Python interface"
        )
    return Grid.square(size, 2 * scan.geometry.field_of_view if extent is None else extent)
