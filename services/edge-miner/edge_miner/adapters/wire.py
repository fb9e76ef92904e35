"""Which contracts this service hears and says. The only file here that knows generated protobuf classes."""

from edge_miner.domain import messages
from radloop.contracts.control_plane.v1 import control_plane_pb2
from radloop.contracts.edge_miner.v1 import edge_miner_pb2
from radloop.contracts.inference.v1 import inference_pb2
from radloop.contracts.ingest.v1 import ingest_pb2
from radloop.contracts.labeling.v1 import labeling_pb2
from radloop.contracts.qa.v1 import qa_pb2
from radloop.wire import Wire

WIRE = Wire(
    "edge-miner",
    incoming=[
        (control_plane_pb2.ProjectConfigured, messages.ProjectConfigured),
        (ingest_pb2.StudyIngested, messages.StudyIngested),
        (ingest_pb2.StudyWithdrawn, messages.StudyWithdrawn),
        (inference_pb2.PredictionMade, messages.PredictionMade),
        (inference_pb2.PredictionFailed, messages.PredictionFailed),
        (inference_pb2.ModelDeployed, messages.ModelDeployed),
        (labeling_pb2.EdgeCaseReported, messages.EdgeCaseReported),
        (qa_pb2.LabelApproved, messages.LabelApproved),
    ],
    outgoing=[
        (edge_miner_pb2.PredictionRequested, messages.PredictionRequested),
        (edge_miner_pb2.EdgeCaseFlagged, messages.EdgeCaseFlagged),
    ],
)
