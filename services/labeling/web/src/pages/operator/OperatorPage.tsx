/** The operator's page: what came in at the site, what did not and why, and what can be done about it. */

import { useDeferredValue, useMemo, useRef, useState } from "react";

import * as calls from "../../api/calls";
import type { WithdrawReason } from "../../api/types";
import { useApp } from "../../app/context";
import { count, several, shortUid } from "../../app/format";
import { useKeys } from "../../app/keys";
import { Dialog, Empty, Loading, ProblemNotice, saidOf } from "../../app/parts";
import { useAsk } from "../../app/useAsk";
import { allStudies, type Line, linesOf, MOST_STUDIES, searched, type Tab, TABS } from "./intake";
import Lines from "./Lines";
import StudyDialog from "./StudyDialog";
import WithdrawDialog from "./WithdrawDialog";

const EVERY_MS = 10_000;

const NOTHING: Record<Tab, { title: string; next: string }> = {
  received: { title: "Nothing has been received", next: "Send a study by C-STORE, STOW-RS or as a file; it appears here by itself." },
  incomplete: { title: "Nothing is incomplete", next: "A study stands here from its first instance until its quiet time is over." },
  rejected: { title: "Nothing was rejected", next: "What cannot become a case stands here, with the reason." },
  quarantined: { title: "Nothing is quarantined", next: "What may show a name in its pixels stands here until somebody has looked." },
};

export default function OperatorPage() {
  const { may, say } = useApp();
  const [tab, setTab] = useState<Tab>("received");
  const [text, setText] = useState("");
  const [selected, setSelected] = useState(0);
  const [shown, setShown] = useState<Line | null>(null);
  const [releasing, setReleasing] = useState<Line | null>(null);
  const [withdrawing, setWithdrawing] = useState<Line | null>(null);
  const [busy, setBusy] = useState(false);
  const [refused, setRefused] = useState<Error | null>(null);
  const search = useRef<HTMLInputElement>(null);

  const status = useAsk((signal) => calls.ingestStatus(signal), [], EVERY_MS);
  const asked = useAsk(
    async (signal) => {
      const wantsStudies = tab === "received" || tab === "incomplete";
      const [studies, rejections, quarantine] = await Promise.all([
        wantsStudies ? allStudies(async (after, limit) => (await calls.studies(after, limit, signal)).studies) : [],
        tab === "rejected" ? calls.rejections(signal).then((found) => found.rejections) : [],
        tab === "quarantined" ? calls.quarantine(signal).then((found) => found.quarantine) : [],
      ]);
      return linesOf(tab, { studies, rejections, quarantine });
    },
    [tab],
    EVERY_MS,
  );
  const wanted = useDeferredValue(text);
  const lines = useMemo(() => searched(asked.data ?? [], wanted), [asked.data, wanted]);
  const at = Math.min(selected, lines.length - 1);
  const line = lines[at];

  const numbers: Record<Tab, number | undefined> = {
    received: status.data && Object.values(status.data.studies).reduce((sum, one) => sum + one, 0),
    incomplete: status.data && Math.max(status.data.waiting, status.data.studies.receiving ?? 0),
    rejected: status.data?.rejections,
    quarantined: status.data?.held,
  };

  const act = async (what: () => Promise<string>, close: () => void) => {
    setBusy(true);
    setRefused(null);
    try {
      say(await what());
      close();
      asked.again();
      status.again();
    } catch (error) {
      setRefused(error as Error);
      if (!releasing && !withdrawing) say(saidOf(error as Error));
    } finally {
      setBusy(false);
    }
  };
  const retry = (of: Line) =>
    act(
      async () => {
        await calls.completeStudy(of.studyKey);
        return "Cases are formed from what is here.";
      },
      () => {},
    );
  const release = (of: Line) =>
    act(
      async () => {
        await calls.releaseHeld(of.heldId ?? "");
        return "Released: it is taken in now.";
      },
      () => setReleasing(null),
    );
  const withdraw = (of: Line, reason: WithdrawReason) =>
    act(
      async () => {
        const { before } = await calls.withdrawStudy(of.studyKey, reason);
        return before === "withdrawn" ? "It had been withdrawn before." : "Withdrawn: every service forgets it now.";
      },
      () => setWithdrawing(null),
    );

  const turn = (step: number) => {
    const names = TABS.map((one) => one.tab);
    setTab(names[(names.indexOf(tab) + step + names.length) % names.length]);
    setSelected(0);
  };
  const move = (step: number) => setSelected(Math.max(0, Math.min(at + step, lines.length - 1)));
  const group = "Operator";
  const any = lines.length > 0;
  useKeys([
    { keys: "]", label: "Next list", group, run: () => turn(1) },
    { keys: "[", label: "List before", group, run: () => turn(-1) },
    { keys: "/", label: "Search", group, run: () => search.current?.focus() },
    {
      keys: "Escape", label: "Leave the search", group, run: () => search.current?.blur(),
      when: () => document.activeElement === search.current,
    },
    { keys: ["ArrowDown", "j"], label: "Down", group, run: () => move(1), repeat: true, when: any },
    { keys: ["ArrowUp", "k"], label: "Up", group, run: () => move(-1), repeat: true, when: any },
    { keys: ["Enter", "o"], label: "Show the selected study", group, run: () => line.studyKey && setShown(line), when: any },
    { keys: "c", label: "Retry: form cases now", group, run: () => void retry(line), when: any && may.administer && tab === "incomplete" },
    { keys: "e", label: "Release", group, run: () => setReleasing(line), when: any && may.administer && tab === "quarantined" },
    { keys: "Shift+X", label: "Withdraw", group, run: () => line.studyKey && setWithdrawing(line), when: any && may.administer },
    { keys: "u", label: "Look for changes now", group, run: asked.again },
  ]);

  if (!may.operate)
    return <Empty title="This page is for site administrators and auditors">Ask a site administrator for the role, or for what you want to know.</Empty>;
  return (
    <div className="page full">
      <header className="row">
        <h1>Operator</h1>
        {status.data && (
          <span className="muted">
            {several(status.data.cases, "case")} formed, {several(status.data.instances, "instance")} stored,{" "}
            {several(status.data.withdrawn, "study", "studies")} withdrawn
          </span>
        )}
      </header>
      <div className="row">
        <div className="choice" role="tablist" aria-label="What came in">
          {TABS.map((one) => (
            <button
              key={one.tab}
              type="button"
              role="tab"
              id={`tab-${one.tab}`}
              aria-selected={one.tab === tab}
              aria-controls="intake"
              onClick={() => {
                setTab(one.tab);
                setSelected(0);
              }}
            >
              {one.label}
              <span className="count">{numbers[one.tab] === undefined ? "" : count(numbers[one.tab] ?? 0)}</span>
            </button>
          ))}
        </div>
        <input
          ref={search}
          type="search"
          className="field search"
          placeholder="Search study, series or reason  ( / )"
          aria-label="Search study, series or reason"
          value={text}
          onChange={(event) => {
            setText(event.target.value);
            setSelected(0);
          }}
        />
        {!may.administer && <span className="badge">You may look; a site administrator acts</span>}
      </div>
      {(asked.problem ?? status.problem) && <ProblemNotice problem={(asked.problem ?? status.problem)!} again={asked.again} />}
      <section className="panel list" id="intake" role="tabpanel" aria-labelledby={`tab-${tab}`}>
        {asked.slow && <Loading what="what came in" />}
        {asked.data && lines.length === 0 && (
          <Empty title={text ? "Nothing matches" : NOTHING[tab].title}>{text ? "Search for less." : NOTHING[tab].next}</Empty>
        )}
        {lines.length > 0 && (
          <Lines
            key={tab}
            tab={tab}
            lines={lines}
            administer={may.administer}
            selected={at}
            select={setSelected}
            deeds={{ show: setShown, retry: (of) => void retry(of), release: setReleasing, withdraw: setWithdrawing }}
          />
        )}
        {(asked.data?.length ?? 0) >= MOST_STUDIES && (
          <footer className="muted">Only the first {count(MOST_STUDIES)} studies in order of key are listed.</footer>
        )}
      </section>
      {shown && <StudyDialog studyKey={shown.studyKey} onClose={() => setShown(null)} />}
      {releasing && (
        <Dialog
          title="Release from quarantine"
          onClose={() => setReleasing(null)}
          footer={
            <>
              <button type="button" className="button" onClick={() => setReleasing(null)}>
                Cancel
              </button>
              <button type="button" className="button primary" disabled={busy} onClick={() => void release(releasing)}>
                I have looked: release it
              </button>
            </>
          }
        >
          <div className="stack">
            {refused && <ProblemNotice problem={refused} />}
            <p>
              An instance of study <span className="id">{shortUid(releasing.studyKey)}</span> is held: {releasing.why}.
            </p>
            {releasing.detail && <p className="muted">{releasing.detail}</p>}
            <p>Release it only once you have seen its pixels where it came from: readers will see it, and models train on it.</p>
          </div>
        </Dialog>
      )}
      {withdrawing && (
        <WithdrawDialog
          studyKey={withdrawing.studyKey}
          busy={busy}
          problem={refused}
          onClose={() => {
            setWithdrawing(null);
            setRefused(null);
          }}
          onWithdraw={(reason) => void withdraw(withdrawing, reason)}
        />
      )}
    </div>
  );
}
