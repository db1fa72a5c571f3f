"""The forms in which other tools keep features, a module a tool."""
