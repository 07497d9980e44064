"""What a user wrote becomes a resolved spec, or every fault in it at once, with its place."""
