"""Listeners to trainings that other packages show."""
