"""Schema revisions of edge-miner's database, applied at its start."""
