import { describe, expect, it } from "vitest";

import { type Page, WindowedList } from "./windowed";

/** A list of `total` rows that answers when it is told to. */
function served(total: number) {
  const asked: { offset: number; signal: AbortSignal; answer: () => void; fail: () => void }[] = [];
  let rows = Array.from({ length: total }, (_, at) => `row ${at}`);
  const list = new WindowedList<string>((offset, limit, signal) => {
    return new Promise<Page<string>>((resolve, reject) => {
      asked.push({
        offset,
        signal,
        answer: () => resolve({ total: rows.length, rows: rows.slice(offset, offset + limit) }),
        fail: () => reject(new Error("away")),
      });
    });
  }, 10);
  let told = 0;
  list.subscribe(() => told++);
  const settle = async (how: "answer" | "fail" = "answer") => {
    for (const one of asked.splice(0)) one[how]();
    await new Promise((resolve) => setTimeout(resolve));
  };
  return { list, asked, settle, change: (next: string[]) => (rows = next), told: () => told };
}

describe("a long list", () => {
  it("fetches the pages looked at and no others", async () => {
    const { list, asked, settle } = served(10_000);
    list.need(0, 0);
    expect(asked.map((one) => one.offset)).toEqual([0]);
    await settle();
    expect([list.total, list.row(0), list.row(9), list.row(10)]).toEqual([10_000, "row 0", "row 9", undefined]);
    list.need(5005, 5022);
    expect(asked.map((one) => one.offset)).toEqual([5000, 5010, 5020]);
    await settle();
    expect(list.row(5022)).toBe("row 5022");
    list.need(5005, 5022);
    expect(asked).toHaveLength(0);
  });
  it("gives up what was scrolled past", async () => {
    const { list, asked, settle } = served(1000);
    list.need(100, 105);
    const [past] = asked;
    list.need(500, 505);
    expect(past.signal.aborted).toBe(true);
    await settle();
    expect([list.row(100), list.row(500)]).toEqual([undefined, "row 500"]);
    list.need(100, 105);
    expect(asked.map((one) => one.offset)).toEqual([100]);
  });
  it("keeps the old rows on show while it is refreshed, and forgets those behind a new end", async () => {
    const { list, asked, settle, change } = served(35);
    list.need(0, 34);
    await settle();
    change(["new"]);
    list.need(0, 5);
    list.refresh();
    expect(asked.map((one) => one.offset)).toEqual([0]);
    expect(list.row(0)).toBe("row 0");
    await settle();
    expect([list.total, list.row(0), list.row(1), list.row(30)]).toEqual([1, "new", undefined, undefined]);
  });
  it("says what went wrong and asks again only when it is refreshed", async () => {
    const { list, asked, settle, told } = served(20);
    list.need(0, 5);
    await settle("fail");
    expect([list.problem?.message, told()]).toEqual(["away", 1]);
    list.need(0, 5);
    expect(asked).toHaveLength(0);
    list.refresh();
    await settle();
    expect([list.problem, list.row(3)]).toEqual([null, "row 3"]);
  });
  it("finds a row among those that are there", async () => {
    const { list, settle } = served(30);
    list.need(0, 25);
    await settle();
    expect([list.find((row) => row === "row 23"), list.find((row) => row === "row 99")]).toEqual([23, -1]);
  });
  it("is empty when there is nothing", async () => {
    const { list, settle } = served(0);
    list.need(0, 20);
    await settle();
    expect([list.total, list.row(0)]).toEqual([0, undefined]);
  });
});
