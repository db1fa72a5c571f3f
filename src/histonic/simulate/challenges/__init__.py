"""Miniatures of public challenges: simulated images under the organisers' names, headers and codes."""
