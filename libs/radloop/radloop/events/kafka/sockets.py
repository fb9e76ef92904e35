"""Sockets for `kafka-python`, which leaves one open for each attempt to reach a broker that is away."""

from typing import Any

from kafka.net.inet import KafkaNetSocket

DIRECT = "direct://"
"""The ``proxy_url`` by which a client takes these sockets."""


class DirectSocket(KafkaNetSocket):
    """Connects without a proxy, and closes what did not connect."""

    SCHEMES = ("direct",)

    async def sock_connect(self, net: Any, sock: Any, *args: Any, **options: Any) -> Any:
        """Connect, or close the socket."""
        try:
            return await super().sock_connect(net, sock, *args, **options)
        except BaseException:
            sock.close()
            raise
