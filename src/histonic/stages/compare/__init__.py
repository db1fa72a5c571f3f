"""Runs compared on the patients that they share."""
