"""Fakes of the ports, shipped with Aurea: in memory, deterministic, and held to the contracts of the real adapters."""
