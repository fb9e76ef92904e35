"""Print every label that is approved for training: ``python subscriber.py sqlite:////path/to/events.db [--once]``.

A subscriber needs the contract (`radloop.contracts`), the log's URL, a group name of its own, and a memory of what it has seen.
"""

import sys

from radloop.contracts.qa.v1.qa_pb2 import LabelApproved
from radloop.contracts.references.v1.references_pb2 import Arm
from radloop.events import open_event_log
from radloop.messages import Envelope


def main(url: str, once: bool = False, group: str = "example-subscriber") -> None:
    log = open_event_log(url)
    consumer = log.consumer(group, ["label-approved"])
    seen = set()  # At least once: keep this where your own results are kept, in the same transaction.
    while (batch := consumer.poll(timeout_s=1.0)) or not once:
        for stored in batch:
            envelope = Envelope.of(stored.record)
            if (envelope.source, envelope.id) in seen:
                continue
            label = LabelApproved.FromString(stored.record.value)
            arm = Arm.Name(label.arm).removeprefix("ARM_").lower()
            print(envelope.time, label.project_id, label.case_id, label.label_version_id, arm, flush=True)
            seen.add((envelope.source, envelope.id))
        consumer.commit(batch)  # Only now: what was printed need not be delivered again.
    consumer.close()
    log.close()


if __name__ == "__main__":
    main(sys.argv[1], once="--once" in sys.argv)
