"""Slides and labels looked at before any compute is spent."""
