"""Features of tiles as other tools keep them, read into maps and written from maps."""
