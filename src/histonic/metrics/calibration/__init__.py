"""Whether predicted probabilities come true, and what acting on them would gain."""
