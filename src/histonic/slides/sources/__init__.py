"""Where slides come from: files that belong together, and files that lie elsewhere."""
