"""One encoder on one tile set: its codes, models of them, and their scores."""
