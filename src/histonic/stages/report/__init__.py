"""A run to one HTML file."""
