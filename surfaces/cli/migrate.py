"""`aurea migrate`: brings the ledger to the schema of this version; the only command that changes a shared one."""

from __future__ import annotations

from surfaces.cli import context


def migrate() -> int:
    """Bring the ledger to the schema of this version.

    A SQLite ledger is copied and migrated by whatever command meets it first. A shared database (PostgreSQL, MySQL,
    MariaDB) is migrated by this command only: when no older version of Aurea is at work on it.
    """
    from aurea.adapters.sql.migrate import migrate as bring_up

    done = bring_up(context.current().settings.database_url)
    if done.before is None:
        print(f"the ledger {done.ledger} was made, with schema {done.after}")
    elif done.before == done.after:
        print(f"the ledger {done.ledger} has schema {done.after}: there is nothing to do")
    else:
        kept = f"; as it was it is kept in {done.copy}" if done.copy else ""
        print(f"the ledger {done.ledger} was migrated from schema {done.before} to {done.after}{kept}")
    return 0
