"""The model behind report.json."""
