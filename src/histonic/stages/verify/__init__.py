"""Whether stores, runs, bundles and encoders still are what was written."""
