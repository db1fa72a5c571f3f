"""Processes and threads: whose something is, work ahead or side by side, cores, memory kept between steps."""
