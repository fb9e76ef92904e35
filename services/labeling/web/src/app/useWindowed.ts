/** A `WindowedList` in a page: one for each question, looked at again and again while the page is seen. */

import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";

import { useWhileSeen } from "./useAsk";
import { type LoadPage, WindowedList } from "./windowed";

/**
 * Return the list that answers `question`; until its first page is there, the one before stays.
 *
 * `load` is taken when the question changes, and so must depend on nothing else. `version` changes with the list's rows.
 */
export function useWindowed<T>(question: string, load: LoadPage<T>, everyMs: number): { list: WindowedList<T>; version: number } {
  const newest = useRef(load);
  newest.current = load;
  const asked = useMemo(() => {
    const page = newest.current;
    return { question, list: new WindowedList<T>(page) };
  }, [question]).list;
  const version = useSyncExternalStore(asked.subscribe, asked.version);
  const before = useRef(asked);
  const list = asked.total === null && !asked.problem ? before.current : asked;
  before.current = list;
  useEffect(() => {
    asked.need(0, 0);
    return () => asked.close();
  }, [asked]);
  useWhileSeen(
    useCallback(() => asked.refresh(), [asked]),
    everyMs,
  );
  return { list, version };
}

/** A value once it has rested, for what is typed. */
export function useRested<T>(value: T, ms = 200): T {
  const [rested, setRested] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setRested(value), ms);
    return () => clearTimeout(timer);
  }, [value, ms]);
  return rested;
}

/** Whether something has lasted longer than an eye notices. */
export function useSlow(going: boolean): boolean {
  const [slow, setSlow] = useState(false);
  useEffect(() => {
    if (!going) {
      setSlow(false);
      return;
    }
    const timer = setTimeout(() => setSlow(true), 300);
    return () => clearTimeout(timer);
  }, [going]);
  return slow;
}
