"""How the outside is reached: events, database, object store, HTTP, the worker that runs the checks."""
