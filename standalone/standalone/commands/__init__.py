"""The commands, one module per subject. Each imports what it needs when it runs, so that ``--help`` is there at once."""
