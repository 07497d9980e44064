"""The outside world behind the ports: the only files that import databases, git and processes."""
