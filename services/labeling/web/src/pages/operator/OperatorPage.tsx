/** The operator's page: what came in at the site, what did not and why, and what can be done about it. */

import { useRef, useState } from "react";

import * as calls from "../../api/calls";
import type { WithdrawReason } from "../../api/types";
import { useApp } from "../../app/context";
import { count, several } from "../../app/format";
import { useKeys } from "../../app/keys";
import { Empty, Loading, ProblemNotice, saidOf } from "../../app/parts";
import { useAsk } from "../../app/useAsk";
import { useRested, useSlow, useWindowed } from "../../app/useWindowed";
import { turnedAwayWords } from "../../app/words";
import { type Line, pagesOf, type Tab, TABS } from "./intake";
import Lines from "./Lines";
import ReleaseDialog from "./ReleaseDialog";
import StudyDialog from "./StudyDialog";
import WithdrawDialog from "./WithdrawDialog";

const EVERY_MS = 10_000;

const NOTHING: Record<Tab, { title: string; next: string }> = {
  received: { title: "Nothing has been received", next: "Send a study by C-STORE, STOW-RS or as a file; it appears here by itself." },
  incomplete: { title: "Nothing is incomplete", next: "A study stands here from its first instance until its quiet time is over." },
  rejected: { title: "Nothing was rejected", next: "What cannot become a case stands here, with the reason." },
  quarantined: { title: "Nothing is quarantined", next: "What may show a name in its pixels stands here until somebody has looked." },
  withdrawn: { title: "Nothing was withdrawn", next: "Studies that the platform was told to forget stand here by their keys." },
};

export default function OperatorPage() {
  const { may } = useApp();
  const [tab, setTab] = useState<Tab>("received");
  const status = useAsk((signal) => calls.ingestStatus(signal), [], EVERY_MS);
  const turn = (step: number) => {
    const names = TABS.map((one) => one.tab);
    setTab(names[(names.indexOf(tab) + step + names.length) % names.length]);
  };
  const group = "Operator";
  useKeys([
    { keys: "]", label: "Next list", group, run: () => turn(1) },
    { keys: "[", label: "List before", group, run: () => turn(-1) },
  ]);
  if (!may.operate)
    return (
      <Empty page title="This page is for site administrators and auditors">
        Ask a site administrator for the role, or for what you want to know.
      </Empty>
    );
  const numbers: Partial<Record<Tab, number>> = status.data
    ? {
        received: Object.values(status.data.studies).reduce((sum, one) => sum + one, 0),
        incomplete: status.data.studies.receiving ?? 0,
        rejected: status.data.rejections,
        quarantined: status.data.held,
        withdrawn: status.data.withdrawn,
      }
    : {};
  const turnedAway = Object.entries(status.data?.dicom?.turned_away ?? {});
  return (
    <div className="page full">
      <header className="row">
        <h1>Operator</h1>
        {status.data && (
          <span className="muted">
            {several(status.data.cases, "case")} formed, {several(status.data.instances, "instance")} stored
          </span>
        )}
        {turnedAway.length > 0 && (
          <span className="badge warn" title="Associations that ingest refused or ended since it was started">
            Senders turned away: {turnedAway.map(([why, count]) => `${turnedAwayWords(why)} ${count}`).join(", ")}
          </span>
        )}
        <span className="spread" />
        {!may.administer && <span className="badge">You may look; a site administrator acts</span>}
      </header>
      {status.problem && <ProblemNotice problem={status.problem} again={status.again} />}
      <Intake key={tab} tab={tab} numbers={numbers} choose={setTab} onDone={status.again} />
    </div>
  );
}

function Intake(props: { tab: Tab; numbers: Partial<Record<Tab, number>>; choose(tab: Tab): void; onDone(): void }) {
  const { tab, numbers, choose, onDone } = props;
  const { may, say } = useApp();
  const [text, setText] = useState("");
  const [selected, setSelected] = useState(0);
  const [open, setOpen] = useState<{ what: "show" | "release" | "withdraw"; line: Line } | null>(null);
  const [busy, setBusy] = useState(false);
  const [refused, setRefused] = useState<Error | null>(null);
  const field = useRef<HTMLInputElement>(null);

  const search = useRested(text.trim());
  const { list } = useWindowed(search, pagesOf(tab, search), EVERY_MS);
  const slow = useSlow(list.total === null && !list.problem);
  const any = (list.total ?? 0) > 0;
  const at = Math.min(selected, (list.total ?? 1) - 1);
  const line = list.row(at);

  const close = () => {
    setOpen(null);
    setRefused(null);
  };
  const act = async (what: () => Promise<string>) => {
    setBusy(true);
    setRefused(null);
    try {
      say(await what());
      close();
      list.refresh();
      onDone();
    } catch (error) {
      if (open) setRefused(error as Error);
      else say(saidOf(error as Error));
    } finally {
      setBusy(false);
    }
  };
  const retry = (of: Line) =>
    act(async () => {
      if (tab === "rejected") await calls.formAgain(of.studyKey);
      else await calls.completeStudy(of.studyKey);
      return "Cases are formed from what is here; the lists show what came of it in a moment.";
    });
  const release = (ids: readonly string[]) =>
    act(async () => {
      let proposed = 0;
      for (const id of ids) proposed += (await calls.releaseHeld(id)).released ? 0 : 1;
      if (proposed) return `Proposed ${several(proposed, "instance")}: a second person has to look and release as well.`;
      return `Released ${several(ids.length, "instance")}: taken in now, and formed when the quiet time is over.`;
    });
  const withdraw = (of: Line, reason: WithdrawReason) =>
    act(async () => {
      const { before } = await calls.withdrawStudy(of.studyKey, reason);
      return before === "withdrawn" ? "It had been withdrawn before." : "Withdrawn: every service forgets it now.";
    });

  const move = (step: number) => setSelected(Math.max(0, Math.min(at + step, (list.total ?? 1) - 1)));
  const group = "Operator";
  const known = line !== undefined && line.studyKey !== "" && tab !== "withdrawn";
  useKeys([
    { keys: "/", label: "Search", group, run: () => field.current?.focus() },
    {
      keys: "Escape", label: "Leave the search", group, run: () => field.current?.blur(),
      when: () => document.activeElement === field.current,
    },
    { keys: ["ArrowDown", "j"], label: "Down", group, run: () => move(1), repeat: true, when: any },
    { keys: ["ArrowUp", "k"], label: "Up", group, run: () => move(-1), repeat: true, when: any },
    { keys: ["Enter", "o"], label: "Show the selected study", group, run: () => line && setOpen({ what: "show", line }), when: known },
    {
      keys: "c", label: "Retry: form cases now", group, run: () => line && void retry(line),
      when: known && !busy && may.administer && (tab === "incomplete" || tab === "rejected"),
    },
    {
      keys: "e", label: "Release", group, run: () => line && setOpen({ what: "release", line }),
      when: known && may.administer && tab === "quarantined",
    },
    { keys: "Shift+X", label: "Withdraw", group, run: () => line && setOpen({ what: "withdraw", line }), when: known && may.administer },
    { keys: "u", label: "Look for changes now", group, run: () => list.refresh() },
  ]);

  return (
    <>
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
              onClick={() => choose(one.tab)}
            >
              {one.label}
              <span className="count">{numbers[one.tab] === undefined ? "" : count(numbers[one.tab] ?? 0)}</span>
            </button>
          ))}
        </div>
        <input
          ref={field}
          type="search"
          className="field search"
          placeholder="Search: how a study key begins  ( / )"
          aria-label="Search: how a study key begins"
          value={text}
          maxLength={64}
          onChange={(event) => {
            setText(event.target.value);
            setSelected(0);
          }}
        />
      </div>
      {list.problem && <ProblemNotice problem={list.problem} again={() => list.refresh()} />}
      <section className="panel list" id="intake" role="tabpanel" aria-labelledby={`tab-${tab}`}>
        {slow && <Loading what="what came in" />}
        {list.total === 0 && (
          <Empty title={search ? "Nothing matches" : NOTHING[tab].title}>
            {search ? "No key of a study in this list begins like that." : NOTHING[tab].next}
          </Empty>
        )}
        {any && (
          <Lines
            tab={tab}
            list={list}
            administer={may.administer}
            selected={at}
            select={setSelected}
            deeds={{
              show: (of) => setOpen({ what: "show", line: of }),
              retry: (of) => void retry(of),
              release: (of) => setOpen({ what: "release", line: of }),
              withdraw: (of) => setOpen({ what: "withdraw", line: of }),
            }}
          />
        )}
      </section>
      {open?.what === "show" && <StudyDialog studyKey={open.line.studyKey} onClose={close} />}
      {open?.what === "release" && (
        <ReleaseDialog line={open.line} busy={busy} problem={refused} onClose={close} onRelease={(ids) => void release(ids)} />
      )}
      {open?.what === "withdraw" && (
        <WithdrawDialog
          studyKey={open.line.studyKey}
          busy={busy}
          problem={refused}
          onClose={close}
          onWithdraw={(reason) => void withdraw(open.line, reason)}
        />
      )}
    </>
  );
}
