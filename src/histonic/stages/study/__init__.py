"""Whole studies: public challenges from the organisers' files to a score, needles, tilted rectangles."""
