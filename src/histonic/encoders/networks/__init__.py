"""Tile encoders that are networks, and weights from elsewhere."""
