/** All that is known of one study, without whose it is. */

import * as calls from "../../api/calls";
import { useApp } from "../../app/context";
import { several, shortUid, stamp, timeOf } from "../../app/format";
import { Dialog, Loading, ProblemNotice } from "../../app/parts";
import { useAsk } from "../../app/useAsk";
import { rejectedWords } from "../../app/words";
import Changed from "./Changed";

export default function StudyDialog({ studyKey, onClose }: { studyKey: string; onClose(): void }) {
  const asked = useAsk(() => calls.study(studyKey), [studyKey]);
  const study = asked.data;
  const { may } = useApp();
  return (
    <Dialog title="Study" onClose={onClose} wide>
      <div className="stack">
        <p className="id">{studyKey}</p>
        {asked.problem && <ProblemNotice problem={asked.problem} again={asked.again} />}
        {asked.slow && <Loading what="the study" />}
        {study && (
          <>
            <p>
              {study.state}
              {study.waiting && ", waits for more to come"}; received {stamp(timeOf(study.received_at))}
            </p>
            <h3>{several(study.series.length, "series", "series")}</h3>
            <table className="plain">
              <tbody>
                {study.series.map((one) => (
                  <tr key={one.series_key}>
                    <td className="id" title={one.series_key}>
                      {shortUid(one.series_key)}
                    </td>
                    <td className="number">{several(one.instances, "instance")}</td>
                  </tr>
                ))}
              </tbody>
            </table>
            <h3>{several(study.cases.length, "case")}</h3>
            <table className="plain">
              <tbody>
                {study.cases.map((one) => (
                  <tr key={one.case_id}>
                    <td className="id" title={one.case_id}>
                      {one.case_id.slice(0, 8)}
                    </td>
                    <td>{one.project_id}</td>
                    <td>{one.split}</td>
                    <td>{one.phase_count > 1 ? `phase ${one.phase + 1} of ${one.phase_count}` : ""}</td>
                    <td className="number">{one.shape.join(" × ")}</td>
                  </tr>
                ))}
              </tbody>
            </table>
            {study.rejections.length > 0 && <h3>Rejected</h3>}
            {study.rejections.map((one) => (
              <p key={one.rejection_id}>
                {rejectedWords(one.reason)}: {one.detail} ({several(one.instance_count, "instance")})
              </p>
            ))}
            {study.quarantine.length > 0 && <h3>Quarantined</h3>}
            {study.quarantine.map((one) => (
              <p key={one.id}>
                {rejectedWords(one.reason)}: {one.detail}
              </p>
            ))}
            {study.differences.length > 0 && <h3>Came again with another header</h3>}
            {study.differences.map((one) => (
              <p key={one.sop_key + one.at}>
                <span className="id">{shortUid(one.sop_key)}</span>: {one.keywords.join(", ")}; {stamp(timeOf(one.at))}
              </p>
            ))}
            {may.operate && <Changed studyKey={studyKey} />}
          </>
        )}
      </div>
    </Dialog>
  );
}
