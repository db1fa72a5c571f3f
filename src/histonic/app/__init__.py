"""The doors: arguments, printing, exit codes."""
