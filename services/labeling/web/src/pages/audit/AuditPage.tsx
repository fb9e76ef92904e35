/** The audit trail of the reading room: who looked at, changed or took out what, newest first. */

import { useEffect, useRef, useState } from "react";

import * as calls from "../../api/calls";
import { useApp } from "../../app/context";
import { stamp, timeOf } from "../../app/format";
import { useKeys } from "../../app/keys";
import { Empty, Loading, ProblemNotice } from "../../app/parts";
import { useAsk } from "../../app/useAsk";
import { actionWords } from "../../app/words";

const LIMIT = 100;

export default function AuditPage() {
  const { may } = useApp();
  const [text, setText] = useState("");
  const [search, setSearch] = useState("");
  // Where each page looked at began; the last one is shown.
  const [before, setBefore] = useState<string[]>([""]);
  const field = useRef<HTMLInputElement>(null);
  const asked = useAsk(
    (signal) => calls.audit({ search, before: before.at(-1) || undefined, limit: LIMIT }, signal),
    [search, before.at(-1)],
  );
  useEffect(() => {
    const timer = setTimeout(() => {
      setSearch(text.trim());
      setBefore([""]);
    }, 300);
    return () => clearTimeout(timer);
  }, [text]);

  const next = asked.data?.next ?? null;
  const older = () => next && setBefore([...before, next]);
  const newer = () => before.length > 1 && setBefore(before.slice(0, -1));
  const group = "Audit trail";
  useKeys([
    { keys: "]", label: "Older", group, run: older, when: next !== null },
    { keys: "[", label: "Newer", group, run: newer, when: before.length > 1 },
    { keys: "/", label: "Search", group, run: () => field.current?.focus() },
    { keys: "Escape", label: "Leave the search", group, run: () => field.current?.blur(), when: () => document.activeElement === field.current },
    { keys: "u", label: "Look for changes now", group, run: asked.again },
  ]);

  if (!may.audit) return <Empty title="This page is for auditors and site administrators">Ask a site administrator for the role.</Empty>;
  const entries = asked.data?.entries ?? [];
  return (
    <div className="page">
      <header className="row">
        <h1>Audit trail</h1>
        <span className="spread" />
        <a className="button" href={calls.auditCsv(search)} download="audit.csv">
          Export as CSV
        </a>
      </header>
      <div className="row">
        <input
          ref={field}
          type="search"
          className="field search"
          placeholder="Search person, action or id  ( / )"
          aria-label="Search person, action or id"
          value={text}
          maxLength={200}
          onChange={(event) => setText(event.target.value)}
        />
        <span className="spread" />
        <button type="button" className="button" disabled={before.length < 2} onClick={newer}>
          Newer <kbd>[</kbd>
        </button>
        <button type="button" className="button" disabled={next === null} onClick={older}>
          Older <kbd>]</kbd>
        </button>
      </div>
      {asked.problem && <ProblemNotice problem={asked.problem} again={asked.again} />}
      <section className="panel" aria-label="Entries">
        {asked.slow && <Loading what="the audit trail" />}
        {asked.data && entries.length === 0 && (
          <Empty title={search ? "Nothing matches" : "Nothing is on record yet"}>
            Every look at a case, every change and every export is entered here by itself.
          </Empty>
        )}
        {entries.length > 0 && (
          <table className="plain">
            <thead>
              <tr>
                <th scope="col">When</th>
                <th scope="col">Who</th>
                <th scope="col">What</th>
                <th scope="col">Of what</th>
              </tr>
            </thead>
            <tbody>
              {entries.map((entry) => (
                <tr key={entry.id}>
                  <td className="nowrap">{stamp(timeOf(entry.at))}</td>
                  <td>{entry.subject}</td>
                  <td>{actionWords(entry.action)}</td>
                  <td className="id">{entry.target}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </section>
    </div>
  );
}
