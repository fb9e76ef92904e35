"""How the control plane meets the outside: events, database, HTTP."""
