"""Directives of the pages: ``bench-rows``, ``bench-header`` and ``model-cards``, see `report_tables`.

```{bench-rows} core
:columns: name label measured
order/*
```
"""

from __future__ import annotations

from typing import Any, ClassVar

import report_tables
from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective


class _Table(SphinxDirective):
    """Render Markdown that a function of `report_tables` gives; the page is built anew when its file changes."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {"columns": directives.unchanged}

    def text(self) -> str:
        """Markdown of the table."""
        raise TypeError(f"{type(self).__name__} has no text")

    def run(self) -> list[nodes.Node]:
        """Parse the Markdown where the directive stands."""
        name = self.arguments[0]
        for path in (
            report_tables.ROOT / "benchmarks" / f"{name}.json",
            report_tables.ROOT / "domains" / name / "weights",
        ):
            if path.exists():
                self.env.note_dependency(str(path))
        try:
            text = self.text()
        except LookupError as error:
            raise self.error(f"{name}: {error}") from error
        holder = nodes.container(classes=["report"])
        self.state.nested_parse(StringList(text.split("\n"), source=self.env.docname), self.content_offset, holder)
        return holder.children


class BenchRows(_Table):
    """Rows of a report, chosen by patterns, a line each."""

    def text(self) -> str:
        """Markdown of the table."""
        patterns = [line.strip() for line in self.content if line.strip()]
        return report_tables.bench_rows(self.arguments[0], patterns, self.options.get("columns", "").split())


class BenchHeader(_Table):
    """What a report was measured on."""

    def text(self) -> str:
        """One sentence."""
        return report_tables.bench_header(self.arguments[0])


class ModelCards(_Table):
    """Bundled models of a domain."""

    def text(self) -> str:
        """Markdown of the table."""
        return report_tables.model_cards(self.arguments[0])


def setup(app: Any) -> dict[str, Any]:
    """Entry point of Sphinx."""
    app.add_directive("bench-rows", BenchRows)
    app.add_directive("bench-header", BenchHeader)
    app.add_directive("model-cards", ModelCards)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
