"""Methods that give a number to every cell of a map, and their checks."""
