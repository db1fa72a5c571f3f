"""What a verb has made, opened again in a notebook."""
