"""The ledger in an SQL database: SQLite, PostgreSQL, MySQL or MariaDB. The only place that knows SQLAlchemy."""

from aurea.adapters.sql.dialects import place_of as place_of
from aurea.adapters.sql.store import SqlEventStore as SqlEventStore
