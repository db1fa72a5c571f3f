"""Compressed slides on the disk and in memory."""
