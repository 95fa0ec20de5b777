"""``scidiff demo``: every domain shows what it does, on one page that needs nothing but itself.

The page is one HTML file. Pictures are data URIs of images, so that nothing in an SVG can run or clash with another
one; numbers carry their intervals and the word for what they are; the foot says on what machine they were made.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from scidiff.domain import DemoSection, Picture
from scidiff.registry import domains, load_domain

__all__ = ["page", "run", "uri"]


def uri(picture: Picture) -> str:
    """Encode a picture as the address of an image.

    Parameters
    ----------
    picture
        SVG markup or a PNG file.

    Returns
    -------
    str
        A ``data:`` URI.
    """
    if isinstance(picture.content, str):
        return f"data:image/svg+xml;base64,{base64.b64encode(picture.content.encode()).decode()}"
    return f"data:image/png;base64,{base64.b64encode(picture.content).decode()}"


def page(sections: list[DemoSection], header: dict[str, object]) -> str:
    """Draw the page.

    Parameters
    ----------
    sections
        One section for each domain.
    header
        What the foot of the page says about the run.

    Returns
    -------
    str
        An HTML document.
    """
    from jinja2 import Environment, StrictUndefined

    from scidiff.bench.report import number, with_interval

    engine = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    engine.filters.update(uri=uri, number=number, with_interval=with_interval)
    template = engine.from_string(files("scidiff").joinpath("demo.html").read_text(encoding="utf-8"))
    return template.render(sections=sections, header=header)


def run(out: Path, seed: int = 0, fast: bool = False, on_domain: Callable[[str], None] = lambda _name: None) -> Path:
    """Run the demonstration of every registered domain and write the page.

    Parameters
    ----------
    out
        The page. Files that a domain writes go into the folder of its name beside it.
    seed
        Seed of every random draw.
    fast
        Draw fewer samples.
    on_domain
        Called with the name of each domain before it runs.

    Returns
    -------
    Path
        The page, as it was written.
    """
    from scidiff.bench.environment import environment
    from scidiff.io.files import atomic_write

    sections = []
    for name in domains():
        on_domain(name)
        folder = out.parent / name
        folder.mkdir(parents=True, exist_ok=True)
        sections.append(load_domain(name).demo(folder, seed, fast))
    text = page(sections, {"seed": seed, **environment()})
    with atomic_write(out) as file:
        file.write(text)
    return out
