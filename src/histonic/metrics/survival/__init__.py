"""Times and events: the order of risks, curves, censoring, hazards."""
