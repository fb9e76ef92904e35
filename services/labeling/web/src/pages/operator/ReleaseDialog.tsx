/** Letting in what is held, one instance or all of the study held for the same reason. */

import * as calls from "../../api/calls";
import { several } from "../../app/format";
import { Dialog, Loading, ProblemNotice } from "../../app/parts";
import { useAsk } from "../../app/useAsk";
import type { Line } from "./intake";

export default function ReleaseDialog(props: {
  line: Line;
  busy: boolean;
  problem: Error | null;
  onClose(): void;
  onRelease(heldIds: readonly string[]): void;
}) {
  const { line, busy, problem, onClose, onRelease } = props;
  // Asked again after a refusal: some may have been let in before it.
  const asked = useAsk(() => calls.study(line.studyKey), [line.studyKey, problem?.message]);
  // A case is formed of what was let in when the quiet time is over: a study is released as a whole, or a slice comes too late for it.
  const reason = asked.data?.quarantine.find((one) => one.id === line.heldId)?.reason;
  const alike = asked.data?.quarantine.filter((one) => one.reason === reason).map((one) => one.id) ?? [];
  return (
    <Dialog
      title="Release from quarantine"
      onClose={onClose}
      footer={
        <>
          <button type="button" className="button" onClick={onClose}>
            Cancel
          </button>
          {alike.length > 1 && (
            <button type="button" className="button" disabled={busy} onClick={() => onRelease([line.heldId ?? ""])}>
              Release this one only
            </button>
          )}
          <button type="button" className="button primary" disabled={busy || alike.length === 0} onClick={() => onRelease(alike)}>
            I have looked: release {alike.length > 1 ? `all ${alike.length}` : "it"}
          </button>
        </>
      }
    >
      <div className="stack">
        {problem && <ProblemNotice problem={problem} />}
        {asked.problem && <ProblemNotice problem={asked.problem} again={asked.again} />}
        {asked.slow && <Loading what="what is held of the study" />}
        <p>
          {several(Math.max(1, alike.length), "instance")} of study <span className="id">{line.studyKey}</span> held: {line.why}.
        </p>
        {line.detail && <p className="muted">{line.detail}</p>}
        <p>Release only what you have seen where it came from: readers will see it, and models train on it.</p>
      </div>
    </Dialog>
  );
}
