"""The viewer: a local server of slides, maps and cases, and the same as a folder of static files."""
