"""What Aurea talks about: frozen values and rules. Imports the standard library and pydantic, nothing else."""
