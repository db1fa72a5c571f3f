"""Whole studies by one file of settings."""
