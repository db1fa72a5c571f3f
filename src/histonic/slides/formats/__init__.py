"""The files that slides come in, one reader a format, and the writer of pyramids."""
