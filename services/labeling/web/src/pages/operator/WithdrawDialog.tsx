/** Withdrawing a study: what it does is said before, and is typed for, since nothing brings it back. */

import { useState } from "react";

import type { WithdrawReason } from "../../api/types";
import { Dialog, ProblemNotice } from "../../app/parts";

const REASONS: readonly { value: WithdrawReason; label: string }[] = [
  { value: "consent", label: "Consent was withdrawn" },
  { value: "sent-in-error", label: "It was sent in error" },
  { value: "identifiable", label: "A person can be recognised in it" },
];
const WORD = "withdraw";

export default function WithdrawDialog(props: {
  studyKey: string;
  busy: boolean;
  problem: Error | null;
  onClose(): void;
  onWithdraw(reason: WithdrawReason): void;
}) {
  const { studyKey, busy, problem, onClose, onWithdraw } = props;
  const [reason, setReason] = useState<WithdrawReason | "">("");
  const [typed, setTyped] = useState("");
  const ready = reason !== "" && typed.trim().toLowerCase() === WORD && !busy;
  return (
    <Dialog
      title="Withdraw a study"
      onClose={onClose}
      footer={
        <>
          <button type="button" className="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" form="withdraw" className="button primary danger" disabled={!ready}>
            Withdraw for good
          </button>
        </>
      }
    >
      <form
        id="withdraw"
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          if (ready) onWithdraw(reason);
        }}
      >
        {problem && <ProblemNotice problem={problem} />}
        <p>
          Study <span className="id">{studyKey}</span>
        </p>
        <p>What happens, at this site and in the cloud:</p>
        <ul className="plain-list">
          <li>its images, volumes, labels and predictions are deleted;</li>
          <li>open tasks of it are cancelled, also while somebody reads;</li>
          <li>datasets and models that contained it are listed for a person to decide on;</li>
          <li>it is refused when it is sent again.</li>
        </ul>
        <p>
          <strong>Nothing brings it back.</strong>
        </p>
        <label className="labelled">
          <span>Reason</span>
          <select className="field" required data-first value={reason} onChange={(event) => setReason(event.target.value as WithdrawReason)}>
            <option value="" disabled>
              Choose a reason
            </option>
            {REASONS.map(({ value, label }) => (
              <option key={value} value={value}>
                {label}
              </option>
            ))}
          </select>
        </label>
        <label className="labelled">
          <span>Type “{WORD}” to confirm</span>
          <input className="field" autoComplete="off" value={typed} onChange={(event) => setTyped(event.target.value)} />
        </label>
      </form>
    </Dialog>
  );
}
