import { expect, it } from "vitest";
import { ActiveTime } from "./activity";

it("counts work and leaves pauses out", () => {
  let now = 0;
  const time = new ActiveTime(5, () => now);
  time.seen();
  now = 10_000;
  time.seen();
  expect(time.seconds).toBe(15);
  now = 10_000 + 3_600_000;
  time.seen();
  expect(time.seconds).toBe(45);
  now += 2_000;
  time.left();
  now += 20_000;
  time.seen();
  expect(time.seconds).toBe(47);
});
