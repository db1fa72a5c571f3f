"""Tensors in, tensors out: blocks, heads, losses."""
