"""Clinical columns beside the slides."""
