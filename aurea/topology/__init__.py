"""The shape of a run: what was planned, what was executed, and how the two differ. Pure functions of its events."""
