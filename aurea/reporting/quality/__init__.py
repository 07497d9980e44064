"""The quality gate: what must hold in the tables of a run, judged by Great Expectations in a process of its own."""
