import { describe, expect, it, vi } from "vitest";
import { Looking } from "./looking";

// Cornerstone3D wants a browser; nothing of it is needed to decide who draws.
vi.mock("./frames", () => ({}));

const slices = { slice: () => undefined, loaded: 0 };

describe("a volume", () => {
  it.each([true, false])("is drawn by the processor, and that is said, where the graphics card has no room for it (room: %s)", async (room) => {
    const looking = new Looking("task", {} as never);
    looking.views = { show: async () => room } as never;
    await looking.draw("volume", slices);
    expect(looking.preview?.slices).toBe(room ? undefined : slices);
    expect(looking.notice ?? "").toContain(room ? "" : "larger than the graphics memory");
  });
});
