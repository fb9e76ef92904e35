"""Which contract class is which message of this service."""

from qa.domain import messages
from radloop.contracts.control_plane.v1 import control_plane_pb2
from radloop.contracts.inference.v1 import inference_pb2
from radloop.contracts.ingest.v1 import ingest_pb2
from radloop.contracts.labeling.v1 import labeling_pb2
from radloop.contracts.qa.v1 import qa_pb2
from radloop.wire import Wire

WIRE = Wire(
    "qa",
    incoming=[
        (control_plane_pb2.ProjectConfigured, messages.ProjectConfigured),
        (ingest_pb2.StudyIngested, messages.StudyIngested),
        (ingest_pb2.StudyWithdrawn, messages.StudyWithdrawn),
        (inference_pb2.PredictionMade, messages.PredictionMade),
        (labeling_pb2.LabelSubmitted, messages.LabelSubmitted),
    ],
    outgoing=[
        (qa_pb2.ReadingRequested, messages.ReadingRequested),
        (qa_pb2.LabelReturned, messages.LabelReturned),
        (qa_pb2.LabelApproved, messages.LabelApproved),
    ],
)
