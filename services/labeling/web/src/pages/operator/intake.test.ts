import { describe, expect, it } from "vitest";

import type { StudyRow } from "../../api/types";
import { allStudies, linesOf, MOST_STUDIES, searched } from "./intake";

const study = (key: string, more: Partial<StudyRow> = {}): StudyRow => ({
  study_key: key, state: "ingested", waiting: false, received_at: 100, instances: 20, ...more,
});
const found = {
  studies: [study("a"), study("b", { received_at: 300, waiting: true }), study("c", { received_at: 200, state: "receiving" })],
  rejections: [
    { rejection_id: "r", study_key: "a", series_key: "s", reason: "tilted", detail: "expected no tilt, got 12 degrees", instance_count: 30, said: true },
  ],
  quarantine: [
    { id: "q", reason: "burned-in-text", detail: "BurnedInAnnotation", sop_key: "i", series_key: "s", study_key: "d", at: 50 },
  ],
};

describe("the operator's lists", () => {
  it("stand newest first, and the incomplete ones by themselves", () => {
    expect(linesOf("received", found).map((line) => line.key)).toEqual(["b", "c", "a"]);
    expect(linesOf("incomplete", found).map((line) => line.key)).toEqual(["b", "c"]);
  });
  it("say why, and what can be released", () => {
    expect(linesOf("rejected", found)[0]).toMatchObject({ why: "tilted gantry", at: null, heldId: null, instances: 30 });
    expect(linesOf("quarantined", found)[0]).toMatchObject({ why: "may carry burned-in text", heldId: "q", studyKey: "d" });
  });
  it("are searched by every word", () => {
    const lines = linesOf("rejected", found);
    expect([searched(lines, ""), searched(lines, "Tilt 12"), searched(lines, "tilt 13")].map((rows) => rows.length)).toEqual([1, 1, 0]);
  });
  it("are fetched page by page, up to a bound", async () => {
    const asked: string[] = [];
    const serve = (total: number) => async (after: string, limit: number) => {
      asked.push(after);
      const from = after === "" ? 0 : Number(after) + 1;
      return Array.from({ length: Math.min(limit, total - from) }, (_, at) => study(String(from + at)));
    };
    expect(await allStudies(serve(2500))).toHaveLength(2500);
    expect(asked).toEqual(["", "999", "1999"]);
    expect(await allStudies(serve(0))).toEqual([]);
    expect(await allStudies(serve(50_000))).toHaveLength(MOST_STUDIES);
  });
});
