"""The steps of a study: what each depends on, whether it is done, and how it is run."""
