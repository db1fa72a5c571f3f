"""Tables as people keep them: files, columns, rows, and the slides that they name."""
