"""One module a challenge: what its files are called, what its labels mean, how it is scored."""
