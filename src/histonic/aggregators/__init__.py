"""Slide-level networks on whole maps: one method, one file, one paper."""
