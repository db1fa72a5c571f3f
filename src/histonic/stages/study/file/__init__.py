"""One file for a whole study: how it is written, and how it is read."""
