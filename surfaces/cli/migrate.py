"""`aurea migrate`: brings the ledger to the schema of this version; the only command that changes a shared one."""

from __future__ import annotations

from surfaces.cli import context


def migrate() -> int:
    """Bring the ledger to the schema of this version.

    A SQLite ledger is copied and migrated by whatever command meets it first. A shared database (PostgreSQL, MySQL,
    MariaDB) is migrated by this command only: when no older version of Aurea is at work on it.
    """
    from aurea.adapters.sql.migrate import migrate as bring_up

    print(bring_up(context.current().settings.database_url))
    return 0
