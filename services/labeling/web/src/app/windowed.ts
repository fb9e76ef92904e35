/** A long list of which only the pages looked at are fetched; what was fetched stays on show while it is fetched anew. */

export interface Page<T> {
  total: number;
  rows: T[];
}

export type LoadPage<T> = (offset: number, limit: number, signal: AbortSignal) => Promise<Page<T>>;

export class WindowedList<T> {
  /** Number of rows of the whole list; null until the first page is there. */
  total: number | null = null;
  problem: Error | null = null;

  private readonly pages = new Map<number, T[]>();
  private readonly fresh = new Set<number>();
  private readonly failed = new Set<number>();
  private readonly loading = new Map<number, AbortController>();
  private readonly listeners = new Set<() => void>();
  private window: [number, number] = [0, 0];
  private turn = 0;

  constructor(
    private readonly load: LoadPage<T>,
    private readonly pageSize = 100,
  ) {}

  /** For `useSyncExternalStore`. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };
  readonly version = (): number => this.turn;

  row(index: number): T | undefined {
    return this.pages.get(Math.floor(index / this.pageSize))?.[index % this.pageSize];
  }

  /** Where a row stands among those that are there, or -1. */
  find(wanted: (row: T) => boolean): number {
    for (const [page, rows] of this.pages) {
      const at = rows.findIndex(wanted);
      if (at >= 0) return page * this.pageSize + at;
    }
    return -1;
  }

  /** Say which rows are looked at, `last` included: their pages are fetched, and what is under way for others is given up. */
  need(first: number, last: number): void {
    this.window = [first, last];
    const from = Math.floor(Math.max(0, first) / this.pageSize);
    const to = Math.floor(Math.max(0, last) / this.pageSize);
    for (const [page, controller] of this.loading)
      if (page < from || page > to) {
        controller.abort();
        this.loading.delete(page);
      }
    for (let page = from; page <= to; page++)
      if (!this.fresh.has(page) && !this.failed.has(page) && !this.loading.has(page)) void this.fetch(page);
  }

  /** Fetch anew what is looked at; the rest when it is looked at. */
  refresh(): void {
    this.fresh.clear();
    this.failed.clear();
    this.need(...this.window);
  }

  /** Give up what is under way. */
  close(): void {
    for (const controller of this.loading.values()) controller.abort();
    this.loading.clear();
  }

  private async fetch(page: number): Promise<void> {
    const controller = new AbortController();
    this.loading.set(page, controller);
    try {
      const { total, rows } = await this.load(page * this.pageSize, this.pageSize, controller.signal);
      if (controller.signal.aborted) return;
      this.total = total;
      this.pages.set(page, rows);
      this.fresh.add(page);
      this.problem = null;
      for (const known of this.pages.keys()) if (known * this.pageSize >= Math.max(1, total)) this.pages.delete(known);
    } catch (error) {
      if (controller.signal.aborted) return;
      // Not asked for again by itself: the next refresh does.
      this.failed.add(page);
      this.problem = error instanceof Error ? error : new Error(String(error));
    }
    this.loading.delete(page);
    this.turn++;
    for (const listener of this.listeners) listener();
  }
}
