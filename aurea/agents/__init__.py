"""Agents: the loop, the roles, what a role is shown and what it may do. No vendor's library comes in here."""
