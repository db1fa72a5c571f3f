"""Intervals by patient and tests of differences."""
