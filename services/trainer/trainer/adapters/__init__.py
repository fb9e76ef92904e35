"""How it is done: one file per outside thing."""
