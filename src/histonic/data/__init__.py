"""What lies on disk: tiles of a slide, stores of maps, label tables."""
