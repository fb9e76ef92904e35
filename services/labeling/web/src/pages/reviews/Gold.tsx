/** Gold cases, for leads: one is named where its accepted label is looked at, and all of a project are listed under the queue. */

import { useState } from "react";

import * as calls from "../../api/calls";
import type { GoldCase, Review } from "../../api/types";
import { useApp } from "../../app/context";
import { short } from "../../app/format";
import { useKeys } from "../../app/keys";
import { ProblemNotice, saidOf } from "../../app/parts";
import { type Asked, useAsk } from "../../app/useAsk";

const WHAT_COUNTS =
  "A gold case goes to readers unmarked, among their second readings: only the mean Dice of each answer with the accepted label " +
  "counts, for the reader's score and for nothing else.";

/** The gold cases of a project, and what is done with them. */
function useGold(project: string) {
  const { say } = useApp();
  const [busy, setBusy] = useState(false);
  const asked: Asked<{ gold: GoldCase[] }> = useAsk(() => calls.goldCases(project), [project]);
  const act = async (what: Promise<unknown>, done: string) => {
    setBusy(true);
    try {
      await what;
      say(done);
      asked.again();
    } catch (error) {
      say(saidOf(error as Error));
    } finally {
      setBusy(false);
    }
  };
  return {
    asked,
    busy,
    name: (caseId: string, label: string) => act(calls.nameGold(caseId, label), "Named as gold: some readers are asked for it, and are not told."),
    retire: (caseId: string) => act(calls.retireGold(caseId), "Retired: nobody new is asked for it; scores stay."),
  };
}

/** Whether readers are measured by a review's accepted label; for who may name gold cases. */
export function GoldChoice({ review }: { review: Review }) {
  const { asked, busy, name, retire } = useGold(review.project_id);
  const named = asked.data?.gold.some((one) => one.case_id === review.case_id && one.label_version_id === review.approved_label);
  const turn = () => void (named ? retire(review.case_id) : name(review.case_id, review.approved_label));
  const ready = asked.data !== undefined && !busy;
  const what = named ? "Retire the gold case" : "Name as gold case";
  useKeys([{ keys: "g", label: what, group: "Decide", run: turn, when: ready }]);
  return (
    <section className="stack" aria-label="Gold case">
      {asked.problem && <ProblemNotice problem={asked.problem} again={asked.again} />}
      <p className="muted">
        {named && <span className="badge ok">Gold case</span>} {WHAT_COUNTS}
      </p>
      {asked.data && (
        <button type="button" className="button" disabled={!ready} onClick={turn}>
          {what} <kbd>G</kbd>
        </button>
      )}
    </section>
  );
}

/** All gold cases of a project. */
export default function GoldCases({ project }: { project: string }) {
  const { go, say } = useApp();
  const { asked, busy, retire } = useGold(project);
  const look = async (one: GoldCase) => {
    try {
      const { reviews } = await calls.reviews({ project_id: project, search: one.case_id, state: "approved" });
      const found = reviews.find((review) => review.approved_label === one.label_version_id);
      if (found) go({ page: "review", review: found.review_id });
      else say("The review of its label is decided anew; look for it in the queue.");
    } catch (error) {
      say(saidOf(error as Error));
    }
  };
  return (
    <section className="panel" aria-label="Gold cases">
      <header>
        <h2>Gold cases</h2>
      </header>
      <div className="body stack">
        {asked.problem && <ProblemNotice problem={asked.problem} again={asked.again} />}
        <p className="muted">{WHAT_COUNTS}</p>
        {asked.data?.gold.length === 0 && <p>None yet. Open an approved review whose label is right beyond doubt, and name it there.</p>}
        <table className="plain">
          <tbody>
            {asked.data?.gold.map((one) => (
              <tr key={one.case_id}>
                <th scope="row" className="id" title={one.case_id}>
                  {short(one.case_id)}
                </th>
                <td className="number">
                  <button type="button" className="button small" onClick={() => void look(one)}>
                    Look at it
                  </button>{" "}
                  <button type="button" className="button small" disabled={busy} onClick={() => void retire(one.case_id)}>
                    Retire
                  </button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
