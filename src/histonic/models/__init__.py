"""Trained slide networks, and how they predict."""
