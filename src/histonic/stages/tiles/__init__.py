"""Slides to labelled tiles, and labelled tiles to slides of a known answer."""
