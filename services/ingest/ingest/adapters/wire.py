"""What `ingest` hears and says; the only module here that knows generated protobuf classes."""

from ingest.domain import messages
from radloop.contracts.control_plane.v1 import control_plane_pb2
from radloop.contracts.edge_miner.v1 import edge_miner_pb2
from radloop.contracts.inference.v1 import inference_pb2
from radloop.contracts.ingest.v1 import ingest_pb2
from radloop.contracts.qa.v1 import qa_pb2
from radloop.wire import Wire


def make_wire() -> Wire:
    """Return the service's table of events."""
    return Wire(
        group="ingest",
        incoming=[
            (control_plane_pb2.ProjectConfigured, messages.ProjectConfigured),
            (qa_pb2.LabelApproved, messages.LabelApproved),
            (edge_miner_pb2.EdgeCaseFlagged, messages.EdgeCaseFlagged),
            (inference_pb2.PredictionMade, messages.PredictionMade),
        ],
        outgoing=[
            (ingest_pb2.StudyIngested, messages.StudyIngested),
            (ingest_pb2.StudyRejected, messages.StudyRejected),
            (ingest_pb2.StudyWithdrawn, messages.StudyWithdrawn),
        ],
    )
