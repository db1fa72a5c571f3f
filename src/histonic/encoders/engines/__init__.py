"""Encoders at work: on which engine they run, compiled or not, on all cores or on a GPU."""
