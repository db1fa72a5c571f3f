"""What a setting was perhaps meant to be, for the ends of messages."""
