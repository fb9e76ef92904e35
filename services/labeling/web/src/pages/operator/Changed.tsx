/** What de-identification changed in a study: attributes and counts, no value. Each look is an entry in the audit trail, so it is asked for. */

import { useState } from "react";
import * as calls from "../../api/calls";
import { several } from "../../app/format";
import { Loading, ProblemNotice } from "../../app/parts";
import { useAsk } from "../../app/useAsk";

export const ACTIONS: Record<string, string> = {
  remove: "removed",
  empty: "emptied",
  dummy: "replaced by a dummy",
  uid: "UID replaced",
  shift: "date moved",
  patient: "replaced by the pseudonym",
  "private-kept": "private, kept",
  keep: "kept as it came",
};

export default function Changed({ studyKey }: { studyKey: string }) {
  const [wanted, setWanted] = useState(false);
  if (!wanted)
    return (
      <p>
        <button type="button" className="button small" onClick={() => setWanted(true)}>
          What was changed
        </button>
      </p>
    );
  return <Report studyKey={studyKey} />;
}

function Report({ studyKey }: { studyKey: string }) {
  const asked = useAsk(() => calls.deidentification(studyKey), [studyKey]);
  return (
    <>
      <h3>De-identification</h3>
      {asked.problem && <ProblemNotice problem={asked.problem} again={asked.again} />}
      {asked.slow && <Loading what="the report" />}
      {asked.data?.profiles.map((one) => (
        <div key={one.profile + one.codes.join()} className="stack">
          <p>
            {one.profile}: {several(one.instances, "instance")}, DCM {one.codes.join(", ")}
          </p>
          {Object.keys(ACTIONS).map(
            (action) =>
              one.actions[action] && (
                <details key={action}>
                  <summary>
                    {several(one.actions[action].length, "attribute")} {ACTIONS[action]}
                  </summary>
                  <p>{one.actions[action].map((each) => each.keyword || each.attribute).join(", ")}</p>
                </details>
              ),
          )}
        </div>
      ))}
      {asked.data && asked.data.without_report > 0 && (
        <p className="muted">{several(asked.data.without_report, "instance")} came before there were reports.</p>
      )}
    </>
  );
}
