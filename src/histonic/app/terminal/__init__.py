"""What all commands share: arguments made of settings, progress on a terminal."""
