"""Files: whole or not at all, fetched with their hash, checkpoints, provenance. Import from the modules themselves."""
