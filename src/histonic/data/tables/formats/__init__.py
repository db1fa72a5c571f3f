"""Kinds of table files: each read to rows of text with their numbers."""
