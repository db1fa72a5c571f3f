"""Slides and pictures to pyramidal OME-TIFF."""
