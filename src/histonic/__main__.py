"""``python -m histonic`` runs the command line."""

from histonic.app.cli import main

if __name__ == "__main__":
    main()
