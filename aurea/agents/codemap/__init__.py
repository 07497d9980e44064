"""The repository map: which files and definitions matter for a piece of work, and how they are shown. Pure."""
