"""A bundle and slides, or another cohort, to predictions."""
