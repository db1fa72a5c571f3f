"""What single networks, and patients they learned from, show of a result."""
