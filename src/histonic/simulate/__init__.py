"""Data whose right answer is known."""
