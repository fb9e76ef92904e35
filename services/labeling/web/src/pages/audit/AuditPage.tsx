/** The audit trail, service by service: who looked at, changed or took out what, newest first. */

import { useVirtualizer } from "@tanstack/react-virtual";
import { useCallback, useDeferredValue, useEffect, useMemo, useRef, useState } from "react";

import * as calls from "../../api/calls";
import type { Service } from "../../api/http";
import type { AuditEntry } from "../../api/types";
import { useApp } from "../../app/context";
import { count, several, stamp, timeOf } from "../../app/format";
import { useKeys } from "../../app/keys";
import { Choice, Empty, Loading, ProblemNotice, saidOf } from "../../app/parts";
import { useSlow } from "../../app/useWindowed";
import { actionWords } from "../../app/words";
import { type AskTrail, newerThan, newestOf, olderThan, shownOf, type Trail, wholeCsv } from "./trail";

const SERVICES: readonly Service[] = ["labeling", "qa", "ingest", "inference", "edge-miner", "trainer"];
const ROW_PX = 34;

export default function AuditPage() {
  const { may } = useApp();
  const [service, setService] = useState<Service>("labeling");
  const turn = (step: number) => setService(SERVICES[(SERVICES.indexOf(service) + step + SERVICES.length) % SERVICES.length]);
  const group = "Audit trail";
  useKeys([
    { keys: "]", label: "Next service", group, run: () => turn(1) },
    { keys: "[", label: "Service before", group, run: () => turn(-1) },
  ]);
  if (!may.audit)
    return <Empty page title="This page is for auditors and site administrators">Ask a site administrator for the role.</Empty>;
  return (
    <div className="page full">
      <ServiceTrail key={service} service={service} choose={setService} />
    </div>
  );
}

function ServiceTrail({ service, choose }: { service: Service; choose(service: Service): void }) {
  const { say } = useApp();
  const [trail, setTrail] = useState<Trail | null>(null);
  const [problem, setProblem] = useState<Error | null>(null);
  const [busy, setBusy] = useState(false);
  const [text, setText] = useState("");
  const field = useRef<HTMLInputElement>(null);
  const ended = useRef(new AbortController());

  const read = useCallback(
    async (how: (ask: AskTrail) => Promise<Trail>) => {
      const { signal } = ended.current;
      setBusy(true);
      setProblem(null);
      try {
        const found = await how((after, limit) => calls.audit(service, after, limit, signal));
        if (!signal.aborted) setTrail(found);
      } catch (error) {
        if (!signal.aborted) setProblem(error as Error);
      } finally {
        if (!signal.aborted) setBusy(false);
      }
    },
    [service],
  );
  useEffect(() => {
    ended.current = new AbortController();
    void read(newestOf);
    return () => ended.current.abort();
  }, [read]);

  const again = () => void read((ask) => (trail ? newerThan(ask, trail) : newestOf(ask)));
  const older = () => void (trail && read((ask) => olderThan(ask, trail)));
  const out = async () => {
    setBusy(true);
    try {
      const parts = await wholeCsv((after, limit) => calls.auditCsv(service, after, limit));
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob(parts, { type: "text/csv" }));
      link.download = `audit-${service}.csv`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    } catch (error) {
      say(saidOf(error as Error));
    } finally {
      setBusy(false);
    }
  };

  const group = "Audit trail";
  useKeys([
    { keys: "/", label: "Search", group, run: () => field.current?.focus() },
    {
      keys: "Escape", label: "Leave the search", group, run: () => field.current?.blur(),
      when: () => document.activeElement === field.current,
    },
    { keys: "u", label: "Read what came since", group, run: again, when: !busy },
    { keys: "b", label: "Read what came before", group, run: older, when: !busy && (trail?.from ?? 0) > 0 },
    { keys: "e", label: "Export as CSV", group, run: () => void out(), when: !busy },
  ]);

  const wanted = useDeferredValue(text);
  const shown = useMemo(() => (trail ? shownOf(trail, wanted) : []), [trail, wanted]);
  const slow = useSlow(busy && !trail);
  return (
    <>
      <header className="row">
        <h1>Audit trail</h1>
        {trail && (
          <span className="muted">
            {trail.from > 0 ? `the newest ${count(trail.entries.length)} entries` : several(trail.entries.length, "entry", "entries")}
          </span>
        )}
        <span className="spread" />
        <button type="button" className="button" disabled={busy} onClick={() => void out()}>
          Export all as CSV <kbd>E</kbd>
        </button>
      </header>
      <div className="row">
        <Choice
          label="Service"
          value={service}
          options={SERVICES.map((one) => ({ value: one, label: one }))}
          onChange={choose}
        />
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
        {trail !== null && trail.from > 0 && (
          <button type="button" className="button" disabled={busy} onClick={older}>
            Read older ones <kbd>B</kbd>
          </button>
        )}
        <button type="button" className="button" disabled={busy} onClick={again}>
          Read new ones <kbd>U</kbd>
        </button>
      </div>
      {problem && <ProblemNotice problem={problem} again={again} />}
      <section className="panel list" aria-label="Entries">
        {slow && <Loading what="the audit trail" />}
        {trail && shown.length === 0 && (
          <Empty title={text ? "Nothing matches" : "Nothing is on record yet"}>
            {text && trail.from > 0
              ? "Only the newest entries are searched. Read older ones, or export all."
              : "Every look at a case, every change and every export is entered here by itself."}
          </Empty>
        )}
        {shown.length > 0 && <Entries entries={shown} />}
      </section>
    </>
  );
}

function Entries({ entries }: { entries: readonly AuditEntry[] }) {
  const scroller = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: entries.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_PX,
    overscan: 20,
  });
  return (
    <div ref={scroller} className="rows audit" role="table" aria-label="Entries" aria-rowcount={entries.length + 1} tabIndex={0}>
      <div className="head" role="rowgroup">
        <div className="line" role="row" aria-rowindex={1}>
          {["When", "Who", "What", "Of what"].map((name) => (
            <div key={name} role="columnheader">
              {name}
            </div>
          ))}
        </div>
      </div>
      <div role="rowgroup" style={{ height: virtual.getTotalSize(), position: "relative" }}>
        {virtual.getVirtualItems().map((item) => {
          const entry = entries[item.index];
          return (
            <div
              key={entry.id}
              className="line"
              role="row"
              aria-rowindex={item.index + 2}
              style={{ position: "absolute", top: 0, transform: `translateY(${item.start}px)`, height: ROW_PX }}
            >
              <div role="cell" title={entry.at}>
                {stamp(timeOf(entry.at))}
              </div>
              <div role="cell" title={entry.subject}>
                {entry.subject}
              </div>
              <div role="cell">{actionWords(entry.action)}</div>
              <div role="cell" className="id" title={entry.target}>
                {entry.target}
              </div>
            </div>
          );
        })}
      </div>
    </div>
  );
}
