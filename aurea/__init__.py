"""The domain core of Aurea: everything that would still be true without Prefect, a terminal or a browser."""

__version__ = "0.1.0"
