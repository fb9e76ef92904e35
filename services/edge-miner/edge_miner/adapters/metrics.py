"""What an operator sees of this service beside what every service shows."""

from prometheus_client import Counter, Gauge

ROUNDS_ENDED = Counter("radloop_edge_miner_rounds_total", "Rounds by how their collecting ended", ["state"])
FLAGS = Counter("radloop_edge_miner_flags_total", "Cases put before the readers", ["arm"])
OPEN_ROUNDS = Gauge("radloop_edge_miner_open_rounds", "Rounds that are collecting")
