"""Tiles to a trained encoder."""
