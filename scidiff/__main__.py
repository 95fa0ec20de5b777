"""``python -m scidiff``: the command line."""

from scidiff.cli import main

raise SystemExit(main())
