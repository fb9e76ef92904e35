"""Which contract each message is. The only module of this service that knows generated protobuf."""

from control_plane.domain import messages
from radloop.contracts.control_plane.v1 import control_plane_pb2
from radloop.contracts.edge_miner.v1 import edge_miner_pb2
from radloop.contracts.inference.v1 import inference_pb2
from radloop.contracts.ingest.v1 import ingest_pb2
from radloop.contracts.qa.v1 import qa_pb2
from radloop.contracts.trainer.v1 import trainer_pb2
from radloop.wire import Wire

WIRE = Wire(
    group="control-plane",
    incoming=[
        (ingest_pb2.StudyIngested, messages.StudyIngested),
        (ingest_pb2.StudyRejected, messages.StudyRejected),
        (ingest_pb2.StudyWithdrawn, messages.StudyWithdrawn),
        (inference_pb2.PredictionMade, messages.PredictionMade),
        (inference_pb2.PredictionFailed, messages.PredictionFailed),
        (inference_pb2.ModelDeployed, messages.ModelDeployed),
        (edge_miner_pb2.EdgeCaseFlagged, messages.EdgeCaseFlagged),
        (qa_pb2.LabelApproved, messages.LabelApproved),
        (trainer_pb2.TrainingStarted, messages.TrainingStarted),
        (trainer_pb2.TrainingWaiting, messages.TrainingWaiting),
        (trainer_pb2.ModelTrained, messages.ModelTrained),
        (trainer_pb2.TrainingFailed, messages.TrainingFailed),
    ],
    outgoing=[
        (control_plane_pb2.ProjectConfigured, messages.ProjectConfigured),
        (control_plane_pb2.ModelPromoted, messages.ModelPromoted),
        (control_plane_pb2.TrainingRequested, messages.TrainingRequested),
    ],
)
