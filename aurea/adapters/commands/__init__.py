"""Commands with their whole process tree in hand: the runner behind sandbox `process`, and the environment they get."""
