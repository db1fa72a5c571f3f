"""What all recipes share: cases and findings, tables, steps, and scores."""
