/** Ask for something and keep it: the answer, why there is none, and whether it takes longer than an eye notices. */

import { useCallback, useEffect, useRef, useState } from "react";

const SLOW_MS = 300;

export interface Asked<T> {
  /** The newest answer to this question; it stays while it is asked again. */
  data: T | undefined;
  problem: Error | null;
  /** Nothing is there yet, for longer than 0.3 s. */
  slow: boolean;
  again(): void;
}

/**
 * Ask when the component appears and when `deps` change; with `everyMs` again and again, while the page is looked at.
 *
 * An answer to an older question is dropped.
 */
export function useAsk<T>(load: (signal: AbortSignal) => Promise<T>, deps: readonly unknown[], everyMs?: number): Asked<T> {
  const [state, setState] = useState<{ data?: T; problem: Error | null; key: unknown }>({ problem: null, key: null });
  const [slow, setSlow] = useState(false);
  const [turn, setTurn] = useState(0);
  const newest = useRef(load);
  newest.current = load;
  const key = JSON.stringify(deps);

  useEffect(() => {
    const controller = new AbortController();
    const timer = setTimeout(() => setSlow(true), SLOW_MS);
    newest.current(controller.signal).then(
      (data) => {
        if (!controller.signal.aborted) setState({ data, problem: null, key });
      },
      (error: unknown) => {
        if (controller.signal.aborted) return;
        const problem = error instanceof Error ? error : new Error(String(error));
        setState((before) => ({ data: before.key === key ? before.data : undefined, problem, key }));
      },
    ).finally(() => {
      clearTimeout(timer);
      if (!controller.signal.aborted) setSlow(false);
    });
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [key, turn]);

  const again = useCallback(() => setTurn((before) => before + 1), []);
  useWhileSeen(again, everyMs);

  const current = state.key === key;
  return { data: current ? state.data : undefined, problem: current ? state.problem : null, slow: slow && !(current && state.data), again };
}

/** Call every so often while the page is looked at, and at once when it is looked at again. */
export function useWhileSeen(call: () => void, everyMs: number | undefined): void {
  useEffect(() => {
    if (!everyMs) return;
    const timer = setInterval(() => {
      if (document.visibilityState === "visible") call();
    }, everyMs);
    const seen = () => {
      if (document.visibilityState === "visible") call();
    };
    document.addEventListener("visibilitychange", seen);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [call, everyMs]);
}
