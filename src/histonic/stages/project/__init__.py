"""Maps of long codes to maps of short ones, by a trained projection, without any slide."""
