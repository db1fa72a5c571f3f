"""What a finished run left on the disk; no torch."""
