/** How readers fare: to a reader the own numbers, to who oversees the project everybody's. */

import * as calls from "../../api/calls";
import type { ReaderScore } from "../../api/types";
import { useApp } from "../../app/context";
import { count, dice, several, shortReader } from "../../app/format";
import { Loading, ProblemNotice } from "../../app/parts";
import { useAsk } from "../../app/useAsk";

const EVERY_MS = 300_000;
const GOLD = "Mean Dice with the known label over gold cases, which look like any second reading";

export default function Scores({ project }: { project: string }) {
  const { me, may } = useApp();
  const asked = useAsk(() => calls.readerScores(project), [project], EVERY_MS);
  const readers = asked.data?.readers ?? [];
  const mine = readers.find((one) => one.reader === me.pseudonym);
  const others = readers.filter((one) => one !== mine);
  return (
    <aside className="side stack" aria-label="Scores" tabIndex={0}>
      {asked.problem && <ProblemNotice problem={asked.problem} again={asked.again} />}
      {asked.slow && <Loading what="scores" />}
      {asked.data && (may.read || mine) && (
        <section className="panel">
          <header>
            <h2>My readings</h2>
          </header>
          <div className="body">
            {mine ? <Mine score={mine} /> : <p className="muted">Nothing submitted yet. What becomes of your labels is counted here.</p>}
          </div>
        </section>
      )}
      {asked.data && may.oversee && (
        <section className="panel">
          <header>
            <h2>Readers</h2>
          </header>
          <div className="body">
            {others.length === 0 && !mine ? (
              <p className="muted">Nobody has submitted a label yet.</p>
            ) : (
              <Everybody scores={mine ? [mine, ...others] : others} me={me.pseudonym} />
            )}
          </div>
        </section>
      )}
    </aside>
  );
}

function Mine({ score }: { score: ReaderScore }) {
  return (
    <dl className="facts">
      <dt>Submitted</dt>
      <dd>{count(score.submitted)}</dd>
      <dt>Accepted</dt>
      <dd>{count(score.approved + score.supported)}</dd>
      <dt>Returned</dt>
      <dd>{count(score.returned)}</dd>
      <dt>Overruled</dt>
      <dd>{count(score.overruled)}</dd>
      <dt title="Mean Dice with other readers over the cases read twice">Agreement</dt>
      <dd>{dice(score.mean_agreement)}</dd>
      {score.gold_count > 0 && (
        <>
          <dt title={GOLD}>Gold cases</dt>
          <dd>
            {dice(score.gold_mean_dice)} ({count(score.gold_count)})
          </dd>
        </>
      )}
    </dl>
  );
}

function Everybody({ scores, me }: { scores: ReaderScore[]; me: string }) {
  const gold = scores.some((score) => score.gold_count > 0);
  return (
    <table className="plain">
      <thead>
        <tr>
          <th scope="col">Reader</th>
          <th scope="col" className="number" title="Label versions submitted">
            Sent
          </th>
          <th scope="col" className="number" title="Accepted, or in agreement with the accepted label">
            Acc.
          </th>
          <th scope="col" className="number" title="Returned to the reader">
            Ret.
          </th>
          <th scope="col" className="number" title="Mean Dice with other readers over the cases read twice">
            Dice
          </th>
          {gold && (
            <th scope="col" className="number" title={GOLD}>
              Gold
            </th>
          )}
        </tr>
      </thead>
      <tbody>
        {scores.map((score) => (
          <tr key={score.reader}>
            <td className="id" title={score.reader}>
              {score.reader === me ? "me" : shortReader(score.reader)}
            </td>
            <td className="number">{count(score.submitted)}</td>
            <td className="number">{count(score.approved + score.supported)}</td>
            <td className="number">{count(score.returned)}</td>
            <td className="number">{dice(score.mean_agreement)}</td>
            {gold && (
              <td className="number" title={several(score.gold_count, "gold case")}>
                {dice(score.gold_mean_dice)}
              </td>
            )}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
