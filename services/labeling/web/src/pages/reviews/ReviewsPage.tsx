/** The review queue: what QA holds for a reviewer, and where everything else stands. */

import { useCallback, useEffect, useState } from "react";

import * as calls from "../../api/calls";
import type { Review } from "../../api/types";
import { useApp } from "../../app/context";
import { age, count, short, stamp, timeOf } from "../../app/format";
import { useKeys } from "../../app/keys";
import { Empty, Loading, ProblemNotice, ResearchUse, saidOf } from "../../app/parts";
import { hashOf } from "../../app/route";
import { useAsk } from "../../app/useAsk";
import { doubtWords, reviewStateWords } from "../../app/words";
import GoldCases from "./Gold";

const EVERY_MS = 30_000;
const PAGE = 200;
const STATES = ["held-for-reviewer", "awaiting-adjudication", "awaiting-second", "returned", "checking", "approved", "cancelled"];

export default function ReviewsPage({ project }: { project: string }) {
  const { go, say, may } = useApp();
  const [state, setState] = useState("held-for-reviewer");
  const [selected, setSelected] = useState(0);
  const [more, setMore] = useState<{ state: string; rows: Review[]; full: boolean }>({ state, rows: [], full: false });
  const counts = useAsk((signal) => calls.reviewCounts(project, signal), [project], EVERY_MS);
  const asked = useAsk(
    (signal) => calls.reviews({ project_id: project, state, limit: PAGE }, signal),
    [project, state],
    EVERY_MS,
  );
  const first = asked.data?.reviews ?? [];
  const known = new Set(first.map((one) => one.review_id));
  const rows = more.state === state ? [...first, ...more.rows.filter((one) => !known.has(one.review_id))] : first;
  const mayBeMore = first.length === PAGE && !(more.state === state && more.full);

  useEffect(() => setSelected(0), [state]);

  const loadMore = async () => {
    try {
      const after = rows.at(-1)?.review_id ?? "";
      const { reviews } = await calls.reviews({ project_id: project, state, after, limit: PAGE });
      setMore((before) => ({
        state,
        rows: before.state === state ? [...before.rows, ...reviews] : reviews,
        full: reviews.length < PAGE,
      }));
    } catch (error) {
      say(saidOf(error as Error));
    }
  };

  const open = useCallback((row: Review | undefined) => row && go({ page: "review", review: row.review_id }), [go]);
  const at = Math.min(selected, rows.length - 1);
  const move = (step: number) => setSelected(Math.max(0, Math.min(at + step, rows.length - 1)));
  const group = "Reviews";
  useKeys([
    { keys: "n", label: "First review of the queue", group, run: () => open(rows[0]), when: rows.length > 0 },
    { keys: ["Enter", "o"], label: "Open the selected review", group, run: () => open(rows[at]), when: rows.length > 0 },
    { keys: ["ArrowDown", "j"], label: "Down", group, run: () => move(1), repeat: true, when: rows.length > 0 },
    { keys: ["ArrowUp", "k"], label: "Up", group, run: () => move(-1), repeat: true, when: rows.length > 0 },
    { keys: "]", label: "Next state", group, run: () => setState(STATES[(STATES.indexOf(state) + 1) % STATES.length]) },
    { keys: "[", label: "State before", group, run: () => setState(STATES[(STATES.indexOf(state) + STATES.length - 1) % STATES.length]) },
    { keys: "u", label: "Look for changes now", group, run: asked.again },
  ]);

  useEffect(() => {
    document.getElementById(`review-${at}`)?.scrollIntoView({ block: "nearest" });
  }, [at]);

  return (
    <div className="page">
      <header className="row">
        <h1>Reviews</h1>
        <span className="spread" />
        <button type="button" className="button primary" disabled={!rows.length} onClick={() => open(rows[0])}>
          Review the first <kbd>N</kbd>
        </button>
      </header>
      <div className="row">
        <div className="choice" role="group" aria-label="State of the review">
          {STATES.map((one) => (
            <button key={one} type="button" aria-pressed={one === state} onClick={() => setState(one)}>
              {reviewStateWords(one)}
              <span className="count">{counts.data ? count(counts.data.reviews[one] ?? 0) : ""}</span>
            </button>
          ))}
        </div>
      </div>
      {asked.problem && <ProblemNotice problem={asked.problem} again={asked.again} />}
      <section className="panel" aria-label="Queue">
        {asked.slow && <Loading what="the reviews" />}
        {asked.data && rows.length === 0 && (
          <Empty title={state === "held-for-reviewer" ? "Nothing waits for a reviewer" : "No review is there"}>
            {state === "held-for-reviewer"
              ? "Labels that no rule decides come here by themselves: two readers who differ, a check that noticed something, a reader who insists."
              : `No review of this project is ${reviewStateWords(state)} now.`}
          </Empty>
        )}
        {rows.length > 0 && (
          <table className="plain hover">
            <thead>
              <tr>
                <th scope="col">Case</th>
                <th scope="col">Why it is held</th>
                <th scope="col">State</th>
                <th scope="col">Since</th>
              </tr>
            </thead>
            <tbody>
              {rows.map((row, index) => (
                <tr
                  key={row.review_id}
                  id={`review-${index}`}
                  className={index === at ? "selected" : undefined}
                  onClick={() => open(row)}
                >
                  <td>
                    <a
                      className="id"
                      href={hashOf({ page: "review", review: row.review_id })}
                      title={row.case_id}
                      aria-current={index === at ? "true" : undefined}
                      onClick={(event) => event.stopPropagation()}
                    >
                      {short(row.case_id)}
                    </a>
                  </td>
                  <td>{row.doubts.length ? row.doubts.map(doubtWords).join(", ") : <span className="muted">–</span>}</td>
                  <td>{reviewStateWords(row.state)}</td>
                  <td>
                    <Since at={row.created_at} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
        <footer className="row muted">
          <ResearchUse />
          <span>The model counts as one more reader; a person decides.</span>
          <span className="spread" />
          {mayBeMore && (
            <button type="button" className="button small" onClick={() => void loadMore()}>
              Show more
            </button>
          )}
        </footer>
      </section>
      {may.nameGold && <GoldCases project={project} />}
    </div>
  );
}

function Since({ at }: { at: string | null | undefined }) {
  const time = timeOf(at);
  return time ? <span title={stamp(time)}>{age(time, new Date())}</span> : <span className="muted">–</span>;
}
