"""Tile encoders: one method, one file, one paper."""
