"""Colours of tiles brought to those of a reference, by what is known of the whole slide."""
