"""What people and programs touch. Nothing imports this package."""
