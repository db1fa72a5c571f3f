"""What tile encoders are trained by, one paper a file."""
