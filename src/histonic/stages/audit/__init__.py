"""What but the tissue could explain the labels."""
