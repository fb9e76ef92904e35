import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { ask, json, Problem, query, whenSignedOut } from "./http";

const door = "http://door/labeling/";
let asked: string[] = [];

/** Answer each address with the next of its answers; the last one stays. */
function answering(answers: Record<string, (() => Response)[]>) {
  vi.stubGlobal("fetch", (url: string) => {
    asked.push(new URL(url).pathname);
    const left = answers[new URL(url).pathname] ?? [];
    const answer = left.length > 1 ? left.shift() : left[0];
    return answer ? Promise.resolve(answer()) : Promise.reject(new TypeError("no network"));
  });
}
const ok = (body: unknown) => () => Response.json(body);
const refused = (status: number, body: unknown = {}) => () => Response.json(body, { status });

beforeEach(() => {
  asked = [];
  vi.stubGlobal("document", { baseURI: door });
});
afterEach(() => {
  vi.unstubAllGlobals();
  whenSignedOut(() => {});
});

describe("a session that ended", () => {
  it("is renewed once for all who wait, and the same is asked again", async () => {
    const out = vi.fn();
    whenSignedOut(out);
    answering({
      "/labeling/v1/me": [refused(401), refused(401), ok({ name: "Ann" })],
      "/labeling/session/refresh": [() => new Response(null, { status: 204 })],
    });
    const both = await Promise.all([json<{ name: string }>(`${door}v1/me`), json<{ name: string }>(`${door}v1/me`)]);
    expect(both.map((one) => one.name)).toEqual(["Ann", "Ann"]);
    expect(asked.filter((path) => path === "/labeling/session/refresh")).toHaveLength(1);
    expect(out).not.toHaveBeenCalled();
  });
  it("that is over says so once the renewal is refused", async () => {
    const out = vi.fn();
    whenSignedOut(out);
    answering({ "/labeling/v1/me": [refused(401, { error: "token-missing" })], "/labeling/session/refresh": [refused(401)] });
    await expect(ask(`${door}v1/me`)).rejects.toMatchObject({ status: 401, code: "token-missing" });
    expect(out).toHaveBeenCalledOnce();
    expect(asked).toEqual(["/labeling/v1/me", "/labeling/session/refresh"]);
  });
  it("is not called over while the network is away", async () => {
    const out = vi.fn();
    whenSignedOut(out);
    answering({ "/labeling/v1/me": [refused(401)] });
    await expect(ask(`${door}v1/me`)).rejects.toMatchObject({ code: "network-away", away: true });
    expect(out).not.toHaveBeenCalled();
  });
});

describe("a refusal", () => {
  it("says what was expected, what came and what to do", async () => {
    answering({ "/labeling/v1/x": [refused(409, { error: "task-held", expected: "a free task", got: "one held", do: "take another" })] });
    const problem = await ask(`${door}v1/x`).catch((error: unknown) => error);
    expect(problem).toBeInstanceOf(Problem);
    expect((problem as Problem).message).toBe("Expected a free task, got one held – take another.");
  });
  it("that is no JSON still has its status", async () => {
    answering({ "/labeling/v1/x": [() => new Response("<html>", { status: 502 })] });
    await expect(ask(`${door}v1/x`)).rejects.toMatchObject({ status: 502, away: true });
  });
});

it("leaves out of a query what is empty", () => {
  expect(query({ a: 1, b: "", c: undefined, d: null, e: false, f: "x y" })).toBe("?a=1&e=false&f=x+y");
  expect(query({})).toBe("");
});
