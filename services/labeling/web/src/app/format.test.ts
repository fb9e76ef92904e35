import { describe, expect, it } from "vitest";

import { age, count, dice, measured, several, short, shortReader, shortUid, stamp, timeOf } from "./format";
import { doubtWords, flagWords, numberWords, whyWords } from "./words";

describe("times", () => {
  const now = new Date("2026-03-05T12:00:00Z");
  const before = (seconds: number) => age(new Date(now.getTime() - seconds * 1000), now);
  it("are told in the largest unit that fits", () => {
    expect([before(5), before(65), before(3 * 3600), before(47 * 3600), before(3 * 86400), before(40 * 86400)]).toEqual([
      "now", "1 min", "3 h", "47 h", "3 d", "5 wk",
    ]);
    expect(before(-30)).toBe("now");
    expect(age(new Date("nonsense"), now)).toBe("–");
  });
  it("are taken as text or as seconds", () => {
    expect(timeOf("2026-03-05T12:00:00Z")?.getTime()).toBe(now.getTime());
    expect(timeOf(now.getTime() / 1000)?.getTime()).toBe(now.getTime());
    expect([timeOf(""), timeOf(null), timeOf("nonsense")]).toEqual([null, null, null]);
    expect(stamp(new Date(2026, 2, 5, 4, 7))).toBe("2026-03-05 04:07");
    expect(stamp(null)).toBe("–");
  });
});

describe("numbers", () => {
  it("are grouped in threes", () => {
    expect([count(0), count(999), count(10000), count(1234567)]).toEqual(["0", "999", "10\u202f000", "1\u202f234\u202f567"]);
    expect([several(1, "case"), several(12, "case"), several(0, "study", "studies")]).toEqual(["1 case", "12 cases", "0 studies"]);
  });
  it("have as many digits as help", () => {
    expect([measured(0.0341), measured(3.456), measured(34.56), measured(345.6), measured(7), measured(NaN)]).toEqual([
      "0.034", "3.46", "34.6", "346", "7", "–",
    ]);
    expect([dice(0.9), dice(null), dice(undefined)]).toEqual(["0.90", "–", "–"]);
  });
});

it("ids are shortened, where they are long, to the part that differs", () => {
  expect([short("lung-1"), short("0b29b8c0-2f5e-5f10")]).toEqual(["lung-1", "0b29b8c0"]);
  expect([shortReader("reader-6a41f2cc9031ab"), shortReader("Ann")]).toEqual(["6a41f2cc", "Ann"]);
  expect(shortUid("2.25.329800735698586629295641978511506172918")).toBe("…511506172918");
});

describe("words", () => {
  it("say why a case is here, and never the arm", () => {
    expect(whyWords(["uncertain", "random"])).toEqual(["the model is unsure"]);
    expect(flagWords("some-new-reason")).toBe("some new reason");
    expect(doubtWords("low-dice")).toContain("model");
  });
  it("say numbers with their units", () => {
    expect(numberWords("volume-ml", 3.214)).toBe("volume 3.21 ml");
    expect(numberWords("volume-share", 0.061)).toBe("volume share 6.10 %");
    expect(numberWords("components", 3)).toBe("components 3");
    expect(numberWords("robust-z", 7.25)).toBe("robust z 7.25");
  });
});
