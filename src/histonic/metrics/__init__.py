"""Numbers: scores of predictions and their intervals."""
