"""Where the tissue of a slide is: its own glass, what is denser, ink and borders, pieces and cells."""
