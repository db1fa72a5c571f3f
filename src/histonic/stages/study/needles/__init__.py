"""How small an object may be in an image for a network to learn from the image's label alone."""
