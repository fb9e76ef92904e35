/** The worklist of a project: what waits, why, and the next case under one key. */

import { useEffect, useRef, useState } from "react";

import * as calls from "../../api/calls";
import type { WorklistRow } from "../../api/types";
import { useApp } from "../../app/context";
import { several } from "../../app/format";
import { useKeys } from "../../app/keys";
import { Empty, Loading, ProblemNotice, ResearchUse, saidOf } from "../../app/parts";
import { useRested, useSlow, useWindowed } from "../../app/useWindowed";
import FilterBar from "./FilterBar";
import { AT_FIRST, type Filters, isNarrowed, keepFilters, keptFilters, queryOf } from "./filters";
import Rows from "./Rows";
import Scores from "./Scores";

const EVERY_MS = 30_000;

export default function WorklistPage({ project }: { project: string }) {
  const { may, go, say } = useApp();
  const [filters, setFilters] = useState<Filters>(() => {
    const found = keptFilters(project);
    // Who only looks after others has nothing of their own to begin with.
    return may.oversee ? (may.read ? found : { ...found, scope: "team" }) : { ...found, scope: "mine" };
  });
  const [selected, setSelected] = useState(0);
  const [asking, setAsking] = useState(false);
  const [nothing, setNothing] = useState(false);
  const search = useRef<HTMLInputElement>(null);
  const page = useRef(10);

  // What is typed is asked for when the typing rests.
  const settled = useRested(filters.search);
  const wanted = queryOf(project, { ...filters, search: settled });
  const { list, version } = useWindowed<WorklistRow>(
    JSON.stringify(wanted),
    async (offset, limit, signal) => {
      const { total, tasks } = await calls.worklist({ ...wanted, offset, limit }, signal);
      return { total, rows: tasks };
    },
    EVERY_MS,
  );

  // A study may have been withdrawn whose case nobody opens here again.
  useEffect(() => void import("../../reading/journal").then(({ forgetGone }) => forgetGone()).catch(() => {}), []);

  // The selection stays with its case when others come or go above it.
  const held = useRef<string | null>(null);
  // Whoever moves here is about to choose: the viewer is fetched and started meanwhile, and a click shows the images at once.
  useEffect(() => {
    const once = () => {
      stop();
      void import("../../reading/warm").then(({ warm }) => warm()).catch(() => {});
    };
    const stop = () => {
      window.removeEventListener("pointermove", once);
      window.removeEventListener("keydown", once);
    };
    window.addEventListener("pointermove", once);
    window.addEventListener("keydown", once);
    return stop;
  }, []);

  useEffect(() => {
    const now = list.row(selected)?.task_id;
    if (held.current && now && now !== held.current) {
      const at = list.find((row) => row.task_id === held.current);
      if (at >= 0) {
        setSelected(at);
        return;
      }
    }
    held.current = now ?? null;
    if (list.total !== null && selected >= list.total) setSelected(Math.max(0, list.total - 1));
  }, [list, version, selected]);

  const select = (index: number) => {
    const next = Math.max(0, Math.min(index, (list.total ?? 1) - 1));
    held.current = list.row(next)?.task_id ?? null;
    setSelected(next);
  };
  const change = (next: Filters) => {
    setFilters(next);
    keepFilters(project, next);
    held.current = null;
    setSelected(0);
  };
  const open = (row: WorklistRow) => go({ page: "task", task: row.task_id });

  const next = async () => {
    if (asking) return;
    setAsking(true);
    try {
      const task = await calls.nextTask(project);
      if (task) go({ page: "task", task: task.task_id });
      else setNothing(true);
    } catch (error) {
      say(saidOf(error as Error));
    } finally {
      setAsking(false);
    }
  };

  const row = list.row(selected);
  const any = (list.total ?? 0) > 0;
  const group = "Worklist";
  useKeys([
    { keys: "n", label: "Next case", group, run: () => void next(), when: may.read },
    { keys: ["Enter", "o"], label: "Open the selected case", group, run: () => row && open(row), when: row !== undefined },
    { keys: ["ArrowDown", "j"], label: "Down", group, run: () => select(selected + 1), repeat: true, when: any },
    { keys: ["ArrowUp", "k"], label: "Up", group, run: () => select(selected - 1), repeat: true, when: any },
    { keys: "PageDown", label: "A page down", group, run: () => select(selected + page.current), repeat: true, when: any },
    { keys: "PageUp", label: "A page up", group, run: () => select(selected - page.current), repeat: true, when: any },
    { keys: "Home", label: "First", group, run: () => select(0), when: any },
    { keys: "End", label: "Last", group, run: () => select((list.total ?? 1) - 1), when: any },
    { keys: "/", label: "Search", group, run: () => search.current?.focus() },
    {
      keys: "Escape",
      label: "Leave the search",
      group,
      run: () => search.current?.blur(),
      when: () => document.activeElement === search.current,
    },
    {
      keys: "t",
      label: "Mine, or the team's",
      group,
      run: () => change({ ...filters, scope: filters.scope === "mine" ? "team" : "mine" }),
      when: may.oversee,
    },
    { keys: "u", label: "Look for changes now", group, run: () => list.refresh() },
  ]);

  const slow = useSlow(list.total === null && !list.problem);
  return (
    <div className="worklist">
      <header className="row">
        <h1>Worklist</h1>
        <span className="muted" aria-live="polite">
          {list.total === null ? "" : several(list.total, "task")}
        </span>
        <span className="spread" />
        {may.read && (
          <button type="button" className="button primary" onClick={() => void next()} disabled={asking}>
            Next case <kbd>N</kbd>
          </button>
        )}
      </header>
      <FilterBar filters={filters} change={change} team={may.oversee} search={search} />
      {nothing && (
        <div className="notice" role="status">
          <p>Nothing waits for you now. New cases appear here by themselves when the next round is flagged.</p>
          <button type="button" className="button small" onClick={() => setNothing(false)}>
            Good
          </button>
        </div>
      )}
      {list.problem && <ProblemNotice problem={list.problem} again={() => list.refresh()} />}
      <div className="split">
        <section className="panel list" aria-label="Tasks">
          {slow && <Loading what="the worklist" />}
          {list.total === 0 && <NothingHere filters={filters} change={change} read={may.read} />}
          {any && (
            <Rows
              list={list}
              total={list.total ?? 0}
              filters={filters}
              change={change}
              selected={selected}
              select={select}
              open={open}
              onPage={(rows) => (page.current = rows)}
            />
          )}
          <footer className="row muted">
            <ResearchUse />
            <span>Reasons and scores come from a model's predictions.</span>
          </footer>
        </section>
        <Scores project={project} />
      </div>
    </div>
  );
}

function NothingHere({ filters, change, read }: { filters: Filters; change(filters: Filters): void; read: boolean }) {
  if (isNarrowed(filters))
    return (
      <Empty
        title="Nothing matches"
        action={
          <button type="button" className="button" onClick={() => change({ ...AT_FIRST, scope: filters.scope })}>
            Clear filters
          </button>
        }
      >
        No task of {filters.scope === "mine" ? "yours" : "the team"} is like that.
      </Empty>
    );
  return (
    <Empty
      title={filters.scope === "mine" && read ? "Nothing waits for you" : "No task waits"}
      action={
        <button type="button" className="button" onClick={() => change({ ...filters, states: "all" })}>
          Show what was done
        </button>
      }
    >
      Cases come here when a round is flagged: studies arrive, the model predicts on them, and those it is most likely to get wrong
      are chosen. This list looks for them by itself.
    </Empty>
  );
}
