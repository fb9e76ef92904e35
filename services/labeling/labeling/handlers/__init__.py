"""What labeling does: one plain function per message, in the table below.

Every handler is called as ``handler(message, uow, clock)``; `app.py` binds the clock. What a handler returns goes to the outbox in
the transaction of its state. Ids of what a command makes stand in the command: a repeat finds it made, and changes nothing.
"""

from collections.abc import Callable

from labeling.domain import messages
from labeling.handlers import facts, labels, leases
from radloop.messages import Message

HANDLERS: dict[type, Callable[..., list[Message]]] = {
    # heard
    messages.ProjectConfigured: facts.keep_project,
    messages.StudyIngested: facts.keep_cases,
    messages.PredictionMade: facts.keep_prediction,
    messages.EdgeCaseFlagged: facts.open_task,
    messages.ReadingRequested: facts.open_further_reading,
    messages.LabelReturned: facts.reopen_task,
    messages.LabelApproved: facts.close_case,
    messages.StudyWithdrawn: facts.forget_study,
    # asked by readers
    messages.TakeNext: leases.take_next,
    messages.TakeTask: leases.take_task,
    messages.RenewLease: leases.renew_lease,
    messages.ReleaseLease: leases.release_lease,
    messages.SkipTask: leases.skip_task,
    messages.AppendDraft: labels.append_draft,
    messages.BeginUpload: labels.begin_upload,
    messages.SubmitLabel: labels.submit_label,
    messages.SaveVersion: labels.save_version,
    messages.ImportLabel: labels.import_label,
    messages.ReportCase: labels.report_case,
    # asked by the service's own workers
    messages.ExpireLeases: leases.expire_leases,
    messages.UploadSwept: labels.forget_upload,
    messages.StudyPurged: facts.study_purged,
}
