"""Pixels of whole slides; no torch."""
