"""Images whose only signal is small: digits among digits (needles), and rectangles of digits."""
