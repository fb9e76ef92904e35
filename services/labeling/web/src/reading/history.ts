/** Undo and redo of everything, made of the same entries that the draft journal keeps: a reload brings the whole history back. */

import type { Change, LabelVolume } from "./labels";
import type { Measure } from "./overlay";

/** A segment is said to be absent, or no longer. */
export interface AbsentChange {
  value: number;
  from: boolean;
  to: boolean;
}

/** One thing a reader did. */
export interface Edit {
  label: string;
  changes: Change[];
  absent?: AbsentChange[];
  /** Lengths that were drawn or taken away. */
  measures?: { added: Measure[]; removed: Measure[] };
  /** Whether this took something from the model. */
  fromModel?: boolean;
  /** Whether this goes on with the edit before: together they were one deed, too large for one entry of the journal. */
  joined?: boolean;
}

/** What the journal keeps: an edit, that the last one was undone or redone, or how long was worked so far. */
export type Entry =
  | ({ op: "edit" } & Edit)
  | { op: "undo" }
  | { op: "redo" }
  | { op: "time"; active_s: number };

/** The state that entries lead to. */
export class EditHistory {
  private done: Edit[] = [];
  private undone: Edit[] = [];
  readonly absent = new Set<number>();
  readonly measures = new Map<string, Measure>();
  activeS = 0;

  constructor(readonly labels: LabelVolume) {}

  /** Take up what was already written into the label map. */
  record(edit: Edit): void {
    const last = edit.joined ? this.done.pop() : undefined;
    this.done.push(last ? { ...last, changes: [...last.changes, ...edit.changes] } : edit);
    this.undone = [];
    this.turnRest(edit, false);
  }

  /** Read an entry of the journal; what is not known is of a newer release and refused rather than skipped. */
  replay(entry: Entry): void {
    switch (entry.op) {
      case "edit":
        this.labels.apply(entry.changes);
        this.record(entry);
        break;
      case "undo":
        this.undo();
        break;
      case "redo":
        this.redo();
        break;
      case "time":
        this.activeS = Math.max(this.activeS, entry.active_s);
        break;
      default:
        throw new Error("the draft was written by a newer release: load the page again");
    }
  }

  undo(): Edit | undefined {
    const edit = this.done.pop();
    if (!edit) return undefined;
    this.labels.apply(edit.changes, true);
    this.turnRest(edit, true);
    this.undone.push(edit);
    return edit;
  }

  redo(): Edit | undefined {
    const edit = this.undone.pop();
    if (!edit) return undefined;
    this.labels.apply(edit.changes);
    this.turnRest(edit, false);
    this.done.push(edit);
    return edit;
  }

  get nextUndo(): string | undefined {
    return this.done.at(-1)?.label;
  }

  get nextRedo(): string | undefined {
    return this.undone.at(-1)?.label;
  }

  /** Whether anything in the label as it stands was taken from the model. */
  get startedFromModel(): boolean {
    return this.done.some((edit) => edit.fromModel);
  }

  get count(): number {
    return this.done.length;
  }

  private turnRest(edit: Edit, backwards: boolean): void {
    const { added = [], removed = [] } = edit.measures ?? {};
    for (const measure of backwards ? added : removed) this.measures.delete(measure.id);
    for (const measure of backwards ? removed : added) this.measures.set(measure.id, measure);
    for (const { value, from, to } of edit.absent ?? []) {
      if (backwards ? from : to) this.absent.add(value);
      else this.absent.delete(value);
    }
  }
}
