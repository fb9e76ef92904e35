"""The worker that encrypts anew what the vault holds, after a rotation of the site key. Killed anywhere, it goes on.

A row is replaced only if it is still as it was read, and remembers the version it is encrypted with; both keys open it
until then.
"""

import uuid
from collections.abc import Callable
from typing import Any

from ingest.adapters.reception import Receiver
from ingest.domain.keys import KeyRing
from ingest.domain.messages import Reseal, Sealed
from radloop.errors import Conflict

BATCH = 50


class Resealing:
    """Encrypts with the newest key version what is encrypted with an older one.

    Parameters
    ----------
    receiver : Receiver
    keys : callable
        Returns the key versions as they are now.
    """

    def __init__(self, receiver: Receiver, keys: Callable[[], KeyRing]) -> None:
        self._receiver, self._keys = receiver, keys

    def step(self) -> bool:
        """Encrypt a batch anew; return whether there was any."""
        version = self._keys().current
        if version == 1:
            return False
        with self._receiver.unit_of_work() as uow:
            found = uow.sealed.older_than(version, BATCH)
        for sealed in found:
            if sealed.kind == "held":
                self._reseal_object(sealed, version)
            else:
                text = self._receiver.vault.seal(self._receiver.vault.open(sealed.text.encode())).decode("ascii")
                self._put(Reseal(sealed, text, version))
        return bool(found)

    def _reseal_object(self, sealed: Sealed, version: int) -> None:
        receiver = self._receiver
        with receiver.unit_of_work() as uow:
            held: Any = uow.held.get(sealed.key)
        if held is None:
            return
        data = receiver.vault.seal(receiver.vault.open(receiver.objects.get(held.object)))
        # As for a reception: of two objects of which the index knows one, a crash leaves the other to the sweep.
        with receiver.open("") as reception:
            reception.begin(held.study_key)
            key = f"ingest/{held.study_key}/held/{held.held_id}-{uuid.uuid4().hex[:12]}"
            ref = receiver.objects.put(key, data)
            put = self._put(Reseal(sealed, ref.key, version, ref))
            receiver.objects.delete(sealed.text if put else ref.key)

    def _put(self, command: Reseal) -> bool:
        try:
            self._receiver.dispatch(command)
        except Conflict:  # a sender or a person was first: the next look sees what they left
            return False
        return True
