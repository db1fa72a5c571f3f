"""Reporting checklists of journals, filled in as far as a run knows the answers."""
