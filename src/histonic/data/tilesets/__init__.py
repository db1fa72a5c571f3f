"""Sets of labelled tiles, in whatever form they come."""
