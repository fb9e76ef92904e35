/** Sending a label back: why, in a code and in words, pinned to where the crosshair stands. */

import { useState } from "react";

import { useKeys } from "../../app/keys";
import { Dialog, ProblemNotice } from "../../app/parts";
import { findingWords, RETURN_REASONS } from "../../app/words";

export interface Returning {
  reason: string;
  comment: string;
  index: [number, number, number] | null;
}

const MOST = 2000;

export default function ReturnDialog(props: {
  title: string;
  crosshair: [number, number, number] | null;
  busy: boolean;
  problem: Error | null;
  onClose(): void;
  onReturn(returning: Returning): void;
}) {
  const { title, crosshair, busy, problem, onClose, onReturn } = props;
  const [reason, setReason] = useState("reviewer");
  const [comment, setComment] = useState("");
  const [pinned, setPinned] = useState(true);
  const wordless = reason === "reviewer" && !comment.trim();
  const send = () => {
    if (!busy && !wordless) onReturn({ reason, comment: comment.trim(), index: pinned ? crosshair : null });
  };
  useKeys([{ keys: "Ctrl+Enter", label: "Return it", group: "Dialog", run: send, inFields: true }], "dialog");
  return (
    <Dialog
      title={`Return the label of ${title}`}
      onClose={onClose}
      footer={
        <>
          <button type="button" className="button" onClick={onClose}>
            Cancel
          </button>
          <button type="button" className="button primary danger" onClick={send} disabled={busy || wordless}>
            Return it <kbd>Ctrl Enter</kbd>
          </button>
        </>
      }
    >
      <div className="stack">
        {problem && <ProblemNotice problem={problem} />}
        <p>The case goes back to its reader with your words. The comment stays at this site.</p>
        <label className="labelled">
          <span>Reason</span>
          <select className="field" value={reason} onChange={(event) => setReason(event.target.value)}>
            {[...RETURN_REASONS].reverse().map((one) => (
              <option key={one} value={one}>
                {findingWords(one)}
              </option>
            ))}
          </select>
        </label>
        <label className="labelled">
          <span>Comment{reason === "reviewer" ? " (say what is to be changed)" : ""}</span>
          <textarea
            className="field"
            rows={4}
            maxLength={MOST}
            value={comment}
            data-first
            onChange={(event) => setComment(event.target.value)}
          />
        </label>
        <label className="check">
          <input type="checkbox" checked={pinned && crosshair !== null} disabled={!crosshair} onChange={(event) => setPinned(event.target.checked)} />
          <span>
            {crosshair
              ? `Pin it to the crosshair: slice ${crosshair[2] + 1}, column ${crosshair[0] + 1}, row ${crosshair[1] + 1}`
              : "Pin it to the crosshair: point at a place in the image first"}
          </span>
        </label>
      </div>
    </Dialog>
  );
}
