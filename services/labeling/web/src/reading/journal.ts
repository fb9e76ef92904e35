/**
 * The draft journal: everything a reader does is on its way to the service within a second. What is not acknowledged yet waits in
 * this browser (IndexedDB), so that neither a crash nor a lost network nor a lost lease takes it.
 */

import { type DBSchema, type IDBPDatabase, openDB } from "idb";
import { appendDraft, draft } from "../api/calls";
import { Problem } from "../api/http";
import type { Entry } from "./history";

const FLUSH_MS = 400;
const RETRY_MS = [1000, 2000, 4000, 8000];
/** The services' limit for one entry is 4 MiB of JSON, for a request 16 MiB. */
const ENTRY_CHARACTERS = 3_500_000;
const REQUEST_CHARACTERS = 12_000_000;

/** Entries of a task that were never acknowledged. `after` is the last one of the service that they follow. */
export interface Unsent {
  key: string;
  taskId: string;
  after: number;
  at: string;
  entries: Entry[];
}

interface Schema extends DBSchema {
  unsent: { key: string; value: Unsent };
}

/** Where unsent entries wait; replaced in tests. */
export interface Waiting {
  get(key: string): Promise<Unsent | undefined>;
  put(unsent: Unsent): Promise<void>;
  delete(key: string): Promise<void>;
  all(): Promise<Unsent[]>;
}

let database: Promise<IDBPDatabase<Schema>> | undefined;

/** The browser's own database. */
export const inBrowser: Waiting = {
  async get(key) {
    return (await open()).get("unsent", key);
  },
  async put(unsent) {
    await (await open()).put("unsent", unsent);
  },
  async delete(key) {
    await (await open()).delete("unsent", key);
  },
  async all() {
    return (await open()).getAll("unsent");
  },
};

function open(): Promise<IDBPDatabase<Schema>> {
  database ??= openDB<Schema>("radloop-drafts", 1, {
    upgrade: (fresh) => void fresh.createObjectStore("unsent", { keyPath: "key" }),
  });
  return database;
}

/** Whether a refusal means that the case is gone for good: what this browser keeps of it goes, too. */
export function isGone(problem: unknown): boolean {
  const codes = ["study-withdrawn", "case-unknown", "task-unknown"];
  return problem instanceof Problem && (problem.status === 410 || codes.includes(problem.code));
}

/** Delete what waits in this browser of cases that are gone, also of those that nobody opens any more. */
export async function forgetGone(waiting: Waiting = inBrowser, ask: typeof draft = draft): Promise<void> {
  for (const { key, taskId } of await waiting.all()) {
    try {
      await ask(taskId, 0);
    } catch (error) {
      if (isGone(error)) await waiting.delete(key);
    }
  }
}

export type JournalState =
  /** Everything is acknowledged. */
  | { kind: "saved" }
  | { kind: "saving" }
  /** No answer: it is tried again by itself. */
  | { kind: "offline"; unsent: number }
  /** The service refuses: the lease ended, somebody else has the task, another window writes, the study was withdrawn. */
  | { kind: "refused"; problem: Problem; unsent: number };

/** Split an edit that is too large for one entry. */
export function fitting(entry: Entry, characters = ENTRY_CHARACTERS): Entry[] {
  if (entry.op !== "edit" || JSON.stringify(entry).length <= characters) return [entry];
  const parts: Entry[] = [];
  for (const change of entry.changes) {
    // A number of a run takes at most nine characters and a comma.
    const step = Math.floor(characters / 20) * 2;
    let at = 0;
    for (let n = 0; n < change.runs.length; n += step) {
      const runs = change.runs.slice(n, n + step);
      const begin = at;
      for (let m = 0; m < runs.length; m++) at += runs[m];
      runs[0] += begin;
      const { absent, measures, ...rest } = entry;
      parts.push({ ...(parts.length ? { ...rest, joined: true } : { ...rest, absent, measures }), changes: [{ ...change, runs }] });
    }
  }
  return parts;
}

/** The journal of one task and reader, as far as this window writes it. */
export class DraftJournal {
  private pending: Entry[] = [];
  private timer: ReturnType<typeof setTimeout> | undefined;
  private sending = false;
  private failures = 0;
  private writing: Promise<void> = Promise.resolve();
  state: JournalState = { kind: "saved" };

  constructor(
    readonly taskId: string,
    private readonly key: string,
    public leaseId: string,
    public sequence: number,
    private readonly onState: () => void,
    private readonly waiting: Waiting = inBrowser,
    private readonly send: typeof appendDraft = appendDraft,
  ) {}

  get unsent(): number {
    return this.pending.length;
  }

  /** Keep an entry; it is sent by itself. */
  push(entry: Entry): void {
    for (const part of fitting(entry)) this.pending.push(part);
    this.keep();
    if (this.state.kind === "saved") this.become({ kind: "saving" });
    if (this.state.kind !== "refused") this.schedule(FLUSH_MS);
  }

  /** Send what waits, now. Resolves when nothing waits any more, or when it cannot be sent. */
  async flush(): Promise<boolean> {
    clearTimeout(this.timer);
    while (this.sending) await new Promise((resolve) => setTimeout(resolve, 20));
    while (this.pending.length) {
      if (!(await this.sendSome())) return false;
    }
    return true;
  }

  /** Begin anew after a refusal, with another lease or from another place of the service's journal. */
  resume(leaseId: string, sequence: number): void {
    this.leaseId = leaseId;
    this.sequence = sequence;
    this.failures = 0;
    this.keep();
    this.become(this.pending.length ? { kind: "saving" } : { kind: "saved" });
    this.schedule(0);
  }

  /** Forget what waits: its reader said so, or the label it led to is submitted. */
  async discard(): Promise<void> {
    await this.forget();
    this.become({ kind: "saved" });
  }

  private async forget(): Promise<void> {
    clearTimeout(this.timer);
    this.pending = [];
    await this.writing;
    await this.waiting.delete(this.key).catch(() => {});
  }

  /** Stop sending; what waits stays in the browser. */
  close(): void {
    clearTimeout(this.timer);
  }

  private async sendSome(): Promise<boolean> {
    const batch: Entry[] = [];
    let characters = 0;
    for (const entry of this.pending) {
      characters += JSON.stringify(entry).length;
      if (batch.length && characters > REQUEST_CHARACTERS) break;
      batch.push(entry);
    }
    this.sending = true;
    try {
      const { sequence } = await this.send(this.taskId, this.leaseId, this.sequence, batch);
      this.sequence = sequence;
      this.pending.splice(0, batch.length);
      this.failures = 0;
      this.keep();
      this.become(this.pending.length ? { kind: "saving" } : { kind: "saved" });
      return true;
    } catch (error) {
      const problem = error instanceof Problem ? error : new Problem(0, "network-away", "", String(error), "it is tried again");
      if (problem.away || problem.status === 401) {
        this.become({ kind: "offline", unsent: this.pending.length });
        this.schedule(RETRY_MS[Math.min(this.failures++, RETRY_MS.length - 1)]);
      } else {
        if (isGone(problem)) await this.forget();
        this.become({ kind: "refused", problem, unsent: this.pending.length });
      }
      return false;
    } finally {
      this.sending = false;
    }
  }

  private schedule(afterMs: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.flush(), afterMs);
  }

  private keep(): void {
    const { pending, key, taskId, sequence } = this;
    const unsent: Unsent = { key, taskId, after: sequence, at: new Date().toISOString(), entries: [...pending] };
    // One after the other, so that the newest state stays.
    this.writing = this.writing
      .then(() => (unsent.entries.length ? this.waiting.put(unsent) : this.waiting.delete(key)))
      .catch(() => {});
  }

  private become(state: JournalState): void {
    this.state = state;
    this.onState();
  }
}
