"""The delivery line: what may happen next, each phase of it, and what follows from the evidence. Knows no Prefect."""
