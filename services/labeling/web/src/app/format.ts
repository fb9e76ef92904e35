/** Numbers, times and ids as people read them. */

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** How long ago, in the largest unit that fits: "now", "12 min", "5 h", "3 d", "7 wk". */
export function age(then: Date, now: Date): string {
  const seconds = (now.getTime() - then.getTime()) / 1000;
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < MINUTE) return "now";
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)} min`;
  if (seconds < 2 * DAY) return `${Math.floor(seconds / HOUR)} h`;
  if (seconds < 28 * DAY) return `${Math.floor(seconds / DAY)} d`;
  return `${Math.floor(seconds / (7 * DAY))} wk`;
}

/** A time as the services write it: ISO 8601, or seconds since 1970. Null when there is none. */
export function timeOf(value: string | number | null | undefined): Date | null {
  if (value === null || value === undefined || value === "") return null;
  const time = new Date(typeof value === "number" ? value * 1000 : value);
  return Number.isNaN(time.getTime()) ? null : time;
}

/** Day and time, sortable by eye: 2026-03-05 14:07. */
export function stamp(time: Date | null): string {
  if (!time) return "–";
  const two = (value: number) => String(value).padStart(2, "0");
  return (
    `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ` +
    `${two(time.getHours())}:${two(time.getMinutes())}`
  );
}

/** A whole number in groups of three, with a narrow space: 10 000. */
export function count(value: number): string {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** A number of things: "1 case", "12 cases". */
export function several(value: number, one: string, more = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : more}`;
}

/** A Dice or another share of 1, two digits; a dash for none. */
export function dice(value: number | null | undefined): string {
  return value === null || value === undefined || !Number.isFinite(value) ? "–" : value.toFixed(2);
}

/** A measured number with as many digits as help: 0.034, 3.4, 34. */
export function measured(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (Number.isInteger(value) || size >= 100) return String(Math.round(value));
  return size >= 10 ? value.toFixed(1) : size >= 0.1 ? value.toFixed(2) : value.toPrecision(2);
}

/** The beginning of a pseudonymous id, enough to tell one from another by eye. */
export function short(id: string): string {
  return id.length > 10 ? id.slice(0, 8) : id;
}

/** A reader's pseudonym, shortened: what every pseudonym begins with tells nobody apart. */
export function shortReader(pseudonym: string): string {
  return short(pseudonym.replace(/^reader-/, ""));
}

/** The end of a UID, where UIDs of one root differ. */
export function shortUid(uid: string): string {
  return uid.length > 14 ? `…${uid.slice(-12)}` : uid;
}
