"""Processes: whose something is, reading ahead in a thread, memory kept between steps."""
