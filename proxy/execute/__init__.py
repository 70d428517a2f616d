"""Running statements: index lookups, fetching rows, writing, and the local engine."""
