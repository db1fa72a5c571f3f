"""Calibration in detail: by class, of survival, in subgroups, and after recalibration."""
