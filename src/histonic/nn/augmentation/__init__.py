"""Augmentation of whole batches of tiles on their device."""
