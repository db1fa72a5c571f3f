"""Whether predictions tell patients apart: classes, values, pairs in the right order, and confounders."""
