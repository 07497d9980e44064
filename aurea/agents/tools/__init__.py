"""The tools of agents. Each tool validates its own arguments; nothing here knows models, the ledger or the loop."""
