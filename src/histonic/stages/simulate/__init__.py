"""Images and crops whose right answer is known, with a signal as small as one likes."""
