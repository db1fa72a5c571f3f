"""Slides to maps of codes."""
