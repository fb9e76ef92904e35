import { describe, expect, it, vi } from "vitest";
import { LabelVolume } from "./labels";
import { LABEL_MAP, SEGMENT_BITS } from "./masks";
import { ReviewRoom } from "./review";

vi.mock("./frames", () => ({
  StreamedVolume: class {
    async open() {}
  },
}));

const project = { overlapping_segments: false, segments: [{ value: 1 }, { value: 32 }] };
const raw: Record<string, ArrayBuffer> = {};
vi.mock("../api/calls", () => ({
  caseFrames: async () => ({ shape: [4, 3, 2], window: { center: 0, width: 1 }, slices: [0, 1] }),
  segments: async () => project,
  labelRaw: async (id: string) => ({ data: raw[id] }),
  casePrediction: async () => ({ data: raw.model }),
}));

describe.each([LABEL_MAP, SEGMENT_BITS])("a review of $dtype", (kind) => {
  it("reads every mask in its project's kind, and tells where readers differ", async () => {
    project.overlapping_segments = kind === SEGMENT_BITS;
    const masks = ["a", "b", "model"].map((id) => [id, LabelVolume.empty([4, 3, 2], kind)] as const);
    for (const [id, mask] of masks) {
      for (let n = 4; n < 8; n++) mask.data[n] = kind.given(0, 32);
      if (id === "b") mask.data[5] = kind.given(mask.data[5], 1);
      raw[id] = mask.data.buffer as ArrayBuffer;
    }
    const wanted = ["a", "b"].map((id) => ({ labelVersionId: id, title: id, color: "#ffffff" }));
    const room = new ReviewRoom("case", "project", wanted, true, () => {});
    await room.open();
    expect([room.stage, room.failure]).toEqual(["ready", null]);
    expect(room.shown.map((shown) => [shown.title, shown.model, shown.labels.data])).toEqual([
      ["a", false, masks[0][1].data], ["b", false, masks[1][1].data], ["Model", true, masks[2][1].data],
    ]);
    expect([...room.difference!.data.keys()].filter((n) => room.difference!.data[n])).toEqual([5]);
  });
});
