"""What people drew on slides: regions, points, masks of class codes."""
