"""What the training of tile encoders and of slide networks share."""
