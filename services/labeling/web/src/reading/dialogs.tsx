/** The questions a case asks its reader: before submitting, skipping, reporting, restoring; and when something stands in the way. */

import { type ReactNode, useEffect, useRef, useState } from "react";
import * as calls from "../api/calls";
import type { Version } from "../api/types";
import { useKeys } from "../app/keys";
import type { ReadingRoom, Trouble } from "./room";

/** A modal dialog: the browser's own, so that focus stays inside and Escape closes it. */
export function Dialog({ title, onClose, children }: { title: string; onClose?: () => void; children: ReactNode }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  useKeys(onClose ? [{ keys: "Escape", label: "Close", group: "This window", run: onClose }] : [], "dialog");
  return (
    <dialog
      ref={dialog}
      className="reading-dialog"
      aria-label={title}
      onCancel={(event) => {
        event.preventDefault();
        onClose?.();
      }}
    >
      <h2>{title}</h2>
      {children}
    </dialog>
  );
}

const SKIP_REASONS: [string, string][] = [
  ["image-quality", "The images cannot be read (nobody else is asked)"],
  ["wrong-anatomy", "Another body part than the project's (nobody else is asked)"],
  ["out-of-scope", "Not a case of this project (nobody else is asked)"],
  ["not-my-field", "Not my field: somebody else should read it"],
  ["no-time", "No time now: somebody else may read it"],
];

const REPORT_REASONS: [string, string][] = [
  ["model-wrong", "The model is wrong here"],
  ["rare-finding", "A rare finding"],
  ["image-quality", "The image quality is unusual"],
  ["other", "Something else (say what in the note)"],
];

function ReasonDialog(props: {
  title: string;
  reasons: [string, string][];
  action: string;
  hint: string;
  onClose: () => void;
  onSend: (reason: string, note: string) => Promise<void>;
}) {
  const [reason, setReason] = useState(props.reasons[0][0]);
  const [note, setNote] = useState("");
  const [busy, setBusy] = useState(false);
  const send = async () => {
    setBusy(true);
    await props.onSend(reason, note.trim());
    setBusy(false);
  };
  useKeys([{ keys: "Ctrl+Enter", label: props.action, group: "This window", inFields: true, run: () => void send() }], "dialog");
  return (
    <Dialog title={props.title} onClose={props.onClose}>
      <fieldset>
        <legend>Reason</legend>
        {props.reasons.map(([value, text]) => (
          <label key={value} className="reason-choice">
            <input type="radio" name="reason" checked={reason === value} onChange={() => setReason(value)} />
            {text}
          </label>
        ))}
      </fieldset>
      <label className="note-field">
        Note (stays at this site; write nothing about who the patient is)
        <textarea rows={3} maxLength={4000} value={note} onChange={(event) => setNote(event.target.value)} />
      </label>
      <p className="side-hint">{props.hint}</p>
      <footer>
        <button type="button" onClick={props.onClose}>
          Cancel
        </button>
        <button type="button" className="primary" disabled={busy || (reason === "other" && !note.trim())} onClick={() => void send()}>
          {props.action}
        </button>
      </footer>
    </Dialog>
  );
}

export function SkipDialog({ room, onClose, onDone }: { room: ReadingRoom; onClose: () => void; onDone: () => void }) {
  return (
    <ReasonDialog
      title="Skip this case"
      reasons={SKIP_REASONS}
      action="Skip"
      hint="You are not offered it again. Your draft is kept."
      onClose={onClose}
      onSend={async (reason, note) => {
        if (await room.skip(reason, note)) onDone();
      }}
    />
  );
}

export function ReportDialog({ room, onClose }: { room: ReadingRoom; onClose: () => void }) {
  return (
    <ReasonDialog
      title="Report an edge case"
      reasons={REPORT_REASONS}
      action="Report"
      hint="The case is put before a reader, with priority. You can go on with your own reading."
      onClose={onClose}
      onSend={async (reason, note) => {
        if (await room.report(reason, note)) onClose();
      }}
    />
  );
}

/** Asked when segments have neither voxels nor an answer. */
export function SubmitDialog({ room, onClose, onDone }: { room: ReadingRoom; onClose: () => void; onDone: () => void }) {
  const unanswered = room.unanswered;
  const submit = async () => {
    if (await room.submit()) onDone();
    else onClose();
  };
  const allAbsent = async () => {
    for (const segment of room.unanswered) room.toggleAbsent(segment.value);
    await submit();
  };
  useKeys(
    [
      { keys: "x", label: "They are absent: submit", group: "This window", run: () => void allAbsent() },
      { keys: "Ctrl+Enter", label: "Submit as it is", group: "This window", run: () => void submit() },
    ],
    "dialog",
  );
  return (
    <Dialog title="Nothing painted for some segments" onClose={onClose}>
      <ul>
        {unanswered.map((segment) => (
          <li key={segment.value}>
            <i className="swatch" style={{ background: segment.color }} /> {segment.name}
            {segment.always_present && " – every case of this project should have it"}
          </li>
        ))}
      </ul>
      <p>Are they absent from this case, or did you not look for them? What was not looked for is left out of training.</p>
      <footer>
        <button type="button" onClick={onClose}>
          Go back
        </button>
        <button type="button" onClick={() => void submit()}>
          Not annotated: submit
        </button>
        <button type="button" className="primary" onClick={() => void allAbsent()}>
          Absent: submit
        </button>
      </footer>
    </Dialog>
  );
}

const KINDS = { saved: "saved", submitted: "submitted", imported: "imported" };

export function VersionsDialog({ room, onClose }: { room: ReadingRoom; onClose: () => void }) {
  const [versions, setVersions] = useState<Version[] | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  useEffect(() => {
    calls.versions(room.taskId).then(
      (answer) => setVersions(answer.versions),
      (error: Error) => setProblem(error.message),
    );
  }, [room]);
  const restore = async (version: Version) => {
    try {
      const { data } = await calls.labelRaw(version.label_version_id);
      room.restore(data, `Restore the version of ${time(version.made_at)}`, version.started_from_model);
      onClose();
    } catch (error) {
      setProblem((error as Error).message);
    }
  };
  const takeFile = async (file: File | undefined) => {
    if (!file) return;
    setProblem(null);
    const found = await room.takeFile(file);
    if (found) setProblem(found.message);
    else onClose();
  };
  const nameOf = (value: string) => room.segments.find((segment) => String(segment.value) === value)?.name ?? value;
  return (
    <Dialog title="Versions of this label" onClose={onClose}>
      {problem && <p role="alert">{problem}</p>}
      {!versions && !problem && <p>Loading…</p>}
      {versions?.length === 0 && <p>None yet. Ctrl+S saves one; submitting makes one, too. Your draft is kept in any case.</p>}
      {versions && versions.length > 0 && (
        <table>
          <thead>
            <tr>
              <th scope="col">When</th>
              <th scope="col">Who</th>
              <th scope="col">What</th>
              <th scope="col">Volumes, and what changed</th>
              <th scope="col">
                <span className="only-read">Restore</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {[...versions].reverse().map((version) => (
              <tr key={version.label_version_id}>
                <td>{time(version.made_at)}</td>
                <td>{version.mine ? "you" : version.reader}</td>
                <td>
                  {KINDS[version.kind]}
                  {version.started_from_model && <small> from the model</small>}
                </td>
                <td>
                  {Object.entries(version.volumes_ml).map(([value, ml]) => (
                    <div key={value}>
                      {nameOf(value)} {ml.toFixed(2)} mL
                      {version.changed_voxels?.[value] && (
                        <small>
                          {" "}
                          +{version.changed_voxels[value].added} −{version.changed_voxels[value].removed} voxels
                        </small>
                      )}
                    </div>
                  ))}
                </td>
                <td>
                  <button type="button" disabled={!room.mayEdit} onClick={() => void restore(version)}>
                    Restore
                  </button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <label className="note-field">
        Take a label from a file (NIfTI or DICOM SEG of this very case)
        <input type="file" accept=".nii,.nii.gz,.gz,.dcm" disabled={!room.mayEdit} onChange={(event) => void takeFile(event.target.files?.[0])} />
      </label>
      <p className="side-hint">Restoring is an edit like any other: it can be undone, and no version is lost.</p>
      <footer>
        <button type="button" onClick={onClose}>
          Close
        </button>
      </footer>
    </Dialog>
  );
}

function time(iso: string): string {
  return new Date(iso).toLocaleString([], { dateStyle: "short", timeStyle: "short" });
}

const TROUBLES: Record<Trouble["kind"], { title: string; text: string }> = {
  "lease-ended": {
    title: "Your lease on this case has ended",
    text: "Nobody else has taken it. Take it again, and what you did is sent.",
  },
  "somebody-else": {
    title: "Somebody else has this case now",
    text: "Your lease ended, and another reader was given the case. Nothing of theirs, and nothing of yours, is overwritten: your draft is kept, and what was not sent stays in this browser.",
  },
  "another-window": {
    title: "This case is open in another window",
    text: "That window wrote to your draft after this one was opened. Load the draft as it stands now; what only this window has is offered to you again.",
  },
  withdrawn: {
    title: "The study was withdrawn",
    text: "It was taken out of the platform while you had it open; its images, labels and drafts are deleted.",
  },
  closed: {
    title: "This task is closed",
    text: "It was answered, or the case got its label in another way. Your draft is kept.",
  },
  refused: { title: "The service refused this", text: "" },
};

/** What stands in the way, and a clear choice. */
export function TroubleDialog(props: { room: ReadingRoom; trouble: Trouble; onLeave: () => void; onReload: () => void }) {
  const { room, trouble } = props;
  const { title, text } = TROUBLES[trouble.kind];
  const unsent = room.journal?.unsent ?? 0;
  const again = trouble.kind === "lease-ended" || trouble.kind === "somebody-else" || trouble.kind === "refused";
  return (
    <Dialog title={title}>
      {text && <p>{text}</p>}
      <p className="side-hint">{trouble.problem.message}</p>
      {unsent > 0 && trouble.kind !== "withdrawn" && <p>{unsent} of your last steps wait in this browser.</p>}
      <footer>
        <button type="button" onClick={props.onLeave}>
          Back to the worklist
        </button>
        {trouble.kind === "another-window" && (
          <button type="button" className="primary" onClick={props.onReload}>
            Load the draft as it is now
          </button>
        )}
        {again && (
          <button type="button" className="primary" onClick={() => void room.leaseAgain()}>
            {trouble.kind === "refused" ? "Try again" : "Take it again"}
          </button>
        )}
      </footer>
    </Dialog>
  );
}

/** What an earlier window could not send is offered again. */
export function UnsentDialog({ room }: { room: ReadingRoom }) {
  const unsent = room.unsent!;
  const newer = (room.journal?.sequence ?? 0) > unsent.after;
  return (
    <Dialog title="Some of your work was not sent">
      <p>
        On {time(unsent.at)} this browser could not send {unsent.entries.length} step{unsent.entries.length === 1 ? "" : "s"} of yours.
        {newer && " The draft has gone on since then, in another window or on another machine: they would be put on top of it."}
      </p>
      <footer>
        <button type="button" onClick={() => void room.dropUnsent()}>
          Discard them
        </button>
        <button type="button" className="primary" onClick={() => room.takeUnsent()}>
          Take them over
        </button>
      </footer>
    </Dialog>
  );
}
