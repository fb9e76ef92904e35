"""Which events labeling hears and says. The only module here that knows the generated classes."""

from labeling.domain import messages
from radloop.contracts.control_plane.v1 import control_plane_pb2
from radloop.contracts.edge_miner.v1 import edge_miner_pb2
from radloop.contracts.inference.v1 import inference_pb2
from radloop.contracts.ingest.v1 import ingest_pb2
from radloop.contracts.labeling.v1 import labeling_pb2
from radloop.contracts.qa.v1 import qa_pb2
from radloop.wire import Wire

WIRE = Wire(
    "labeling",
    incoming=[
        (control_plane_pb2.ProjectConfigured, messages.ProjectConfigured),
        (ingest_pb2.StudyIngested, messages.StudyIngested),
        (ingest_pb2.StudyWithdrawn, messages.StudyWithdrawn),
        (inference_pb2.PredictionMade, messages.PredictionMade),
        (edge_miner_pb2.EdgeCaseFlagged, messages.EdgeCaseFlagged),
        (qa_pb2.ReadingRequested, messages.ReadingRequested),
        (qa_pb2.LabelReturned, messages.LabelReturned),
        (qa_pb2.LabelApproved, messages.LabelApproved),
    ],
    outgoing=[
        (labeling_pb2.LabelSubmitted, messages.LabelSubmitted),
        (labeling_pb2.EdgeCaseReported, messages.EdgeCaseReported),
    ],
)
