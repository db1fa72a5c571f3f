"""Patients to folds and parts."""
