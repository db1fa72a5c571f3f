"""Who was followed for how long, and whose labels are missing."""
