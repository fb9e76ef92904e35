import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import type { StudyRow } from "../../api/types";
import { heldLine, pagesOf, rejectionLine, studyLine, withdrawnLine } from "./intake";

const study = (more: Partial<StudyRow> = {}): StudyRow => ({
  study_key: "2.25.7", state: "ingested", waiting: false, received_at: 100, incomplete: null, formed_after: null,
  instances: 20, cases: 1, held: 0, rejections: 0, rejected_instances: 0, reasons: [], ...more,
});

describe("a line of the operator's lists", () => {
  it("says what came of a study", () => {
    expect(studyLine(study())).toMatchObject({ why: "1 case", detail: "", state: "ingested", instances: 20 });
    expect(studyLine(study({ reasons: ["tilted"], held: 2 }))).toMatchObject({
      why: "tilted gantry", detail: "1 case; 2 instances held",
    });
    expect(studyLine(study({ state: "held", cases: 0, held: 1 }))).toMatchObject({ why: "1 instance held", detail: "" });
  });
  it("says why a study is incomplete, and until when it waits", () => {
    const line = studyLine(study({ state: "receiving", waiting: true, incomplete: "broken-off", formed_after: 1_700_000_000 }));
    expect(line.why).toBe("sending broke off");
    expect(line.detail).toMatch(/^formed after 2023-11-1[45] \d\d:\d\d by itself$/);
    expect(studyLine(study({ incomplete: "being-formed" })).detail).toBe("");
  });
  it("says why something was refused, held or withdrawn", () => {
    const refused = { rejection_id: "r", study_key: "s", series_key: "", reason: "no-project", detail: "d", instance_count: 3, said: true, at: 0 };
    expect(rejectionLine(refused)).toMatchObject({ why: "no project wants it", at: null, instances: 3, heldId: null });
    const held = { id: "h", reason: "burned-in-text", detail: "d", sop_key: "", series_key: "", study_key: "s", at: 5, proposed_by: "" };
    expect(heldLine(held)).toMatchObject({ key: "h", heldId: "h", why: "may carry burned-in text" });
    expect(heldLine({ ...held, proposed_by: "anna" }).state).toBe("anna proposed it; waits for a second person");
    expect(withdrawnLine({ study_key: "s", reason: "consent", at: 5, emptied: false }).state).toBe("being deleted");
  });
});

describe("the lists", () => {
  beforeEach(() => vi.stubGlobal("document", { baseURI: "http://door/labeling/" }));
  afterEach(() => vi.unstubAllGlobals());

  it("are fetched in pages from ingest, the incomplete ones by their state", async () => {
    const asked: string[] = [];
    vi.stubGlobal("fetch", (url: string) => {
      asked.push(url.replace("http://door", ""));
      return Promise.resolve(Response.json({ total: 1, studies: [study()], rejections: [], quarantine: [], withdrawn: [] }));
    });
    const { signal } = new AbortController();
    expect((await pagesOf("incomplete", "2.25")(100, 50, signal)).rows).toHaveLength(1);
    for (const tab of ["received", "rejected", "quarantined", "withdrawn"] as const) await pagesOf(tab, "")(0, 50, signal);
    expect(asked).toEqual([
      "/ingest/v1/studies?order=newest&search=2.25&offset=100&limit=50&state=receiving",
      "/ingest/v1/studies?order=newest&offset=0&limit=50",
      "/ingest/v1/rejections?offset=0&limit=50",
      "/ingest/v1/quarantine?offset=0&limit=50",
      "/ingest/v1/withdrawn?offset=0&limit=50",
    ]);
  });
});
