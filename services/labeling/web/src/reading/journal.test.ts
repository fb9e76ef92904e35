import { describe, expect, it, vi } from "vitest";
import { Problem } from "../api/http";
import { EditHistory, type Entry } from "./history";
import { DraftJournal, fitting, forgetGone, type Unsent, type Waiting } from "./journal";
import { LabelVolume } from "./labels";

class InMemory implements Waiting {
  readonly kept = new Map<string, Unsent>();
  async get(key: string) {
    return this.kept.get(key);
  }
  async put(unsent: Unsent) {
    this.kept.set(unsent.key, structuredClone(unsent));
  }
  async delete(key: string) {
    this.kept.delete(key);
  }
  async all() {
    return [...this.kept.values()];
  }
}

const edit = (label: string): Entry => ({ op: "edit", label, changes: [{ from: 0, to: 1, runs: [0, 3] }] });

function journalWith(send: (...sent: never[]) => Promise<{ sequence: number }>, waiting = new InMemory()) {
  const journal = new DraftJournal("task", "me/task", "lease", 4, () => {}, waiting, send as never);
  return { journal, waiting };
}

describe("the journal", () => {
  it("sends what was pushed after what the service has, and keeps nothing once it is acknowledged", async () => {
    const sent: unknown[] = [];
    const { journal, waiting } = journalWith(async (...call) => {
      sent.push(call);
      return { sequence: 6 };
    });
    journal.push(edit("one"));
    journal.push(edit("two"));
    expect(journal.state.kind).toBe("saving");
    expect(await journal.flush()).toBe(true);
    expect(sent).toEqual([["task", "lease", 4, [edit("one"), edit("two")]]]);
    expect(journal.sequence).toBe(6);
    expect(journal.state.kind).toBe("saved");
    await vi.waitFor(() => expect(waiting.kept.size).toBe(0));
  });

  it("sends by itself within a second", async () => {
    const send = vi.fn(async () => ({ sequence: 5 }));
    const { journal } = journalWith(send);
    journal.push(edit("one"));
    await vi.waitFor(() => expect(journal.state.kind).toBe("saved"), { timeout: 1000 });
    expect(send).toHaveBeenCalledOnce();
  });

  it("keeps everything in the browser while the network is away, and goes on when it is back", async () => {
    let away = true;
    const { journal, waiting } = journalWith(async () => {
      if (away) throw new Problem(0, "network-away", "", "", "");
      return { sequence: 5 };
    });
    journal.push(edit("one"));
    expect(await journal.flush()).toBe(false);
    expect(journal.state).toEqual({ kind: "offline", unsent: 1 });
    await vi.waitFor(() => expect(waiting.kept.get("me/task")?.entries).toEqual([edit("one")]));
    expect(waiting.kept.get("me/task")?.after).toBe(4);
    away = false;
    await vi.waitFor(() => expect(journal.state.kind).toBe("saved"), { timeout: 3000 });
    await vi.waitFor(() => expect(waiting.kept.size).toBe(0));
  });

  it.each([
    [409, "study-withdrawn"],
    [410, "gone"],
    [404, "task-unknown"],
  ])("drops what waits in the browser when the case is gone: %i %s", async (status, code) => {
    let away = true;
    const { journal, waiting } = journalWith(async () => {
      throw away ? new Problem(0, "network-away", "", "", "") : new Problem(status, code, "", "", "");
    });
    journal.push(edit("one"));
    await journal.flush();
    await vi.waitFor(() => expect(waiting.kept.size).toBe(1));
    away = false;
    expect(await journal.flush()).toBe(false);
    expect(journal.state).toMatchObject({ kind: "refused", unsent: 0 });
    expect(waiting.kept.size).toBe(0);
  });

  it("drops what nobody opens any more when its case is gone, and nothing else", async () => {
    const waiting = new InMemory();
    for (const taskId of ["gone", "mine", "away"]) await waiting.put({ key: `me/${taskId}`, taskId, after: 0, at: "", entries: [edit("one")] });
    await forgetGone(waiting, (async (taskId: string) => {
      if (taskId === "gone") throw new Problem(409, "study-withdrawn", "", "", "");
      if (taskId === "away") throw new Problem(0, "network-away", "", "", "");
    }) as never);
    expect([...waiting.kept.keys()]).toEqual(["me/mine", "me/away"]);
  });

  it("stops at a refusal, loses nothing, and goes on with another lease", async () => {
    const leases: string[] = [];
    const { journal, waiting } = journalWith(async (_task, lease) => {
      leases.push(lease);
      if (lease === "lease") throw new Problem(409, "lease-expired", "a lease", "none", "lease it again");
      return { sequence: 8 };
    });
    journal.push(edit("one"));
    await journal.flush();
    expect(journal.state).toMatchObject({ kind: "refused", unsent: 1, problem: { code: "lease-expired" } });
    journal.push(edit("two"));
    expect(journal.unsent).toBe(2);
    await vi.waitFor(() => expect(waiting.kept.get("me/task")?.entries.length).toBe(2));
    journal.resume("lease-2", 7);
    expect(await journal.flush()).toBe(true);
    expect(leases).toEqual(["lease", "lease-2"]);
  });

  it("splits what is too large for one entry, and it is one deed again when read", () => {
    const runs = Array.from({ length: 2_000 }, (_, n) => (n % 2 ? 1 : 2 + (n % 7)));
    const large: Entry = { op: "edit", label: "Accept all", changes: [{ from: 0, to: 1, runs }, { from: 0, to: 2, runs: [1, 1] }], fromModel: true };
    const parts = fitting(large, 1000);
    expect(parts.length).toBeGreaterThan(2);
    const shape: [number, number, number] = [32, 32, 16];
    const whole = new EditHistory(new LabelVolume(shape));
    whole.replay(large);
    const again = new EditHistory(new LabelVolume(shape));
    for (const part of parts) again.replay(JSON.parse(JSON.stringify(part)));
    expect(again.labels.data).toEqual(whole.labels.data);
    expect(again.count).toBe(1);
    expect(again.startedFromModel).toBe(true);
    again.undo();
    expect(again.labels.counts().size).toBe(0);
  });
});
