"""The report as one HTML file that asks for nothing from outside and runs no script."""
