"""Scores as the organisers of public challenges define them."""
