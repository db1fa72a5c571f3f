"""What the labels of a table mean: targets, their checks, and the cohort."""
