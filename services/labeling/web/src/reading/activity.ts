/** How long somebody really works: the time between two signs of life counts as far as it is not longer than a pause. */

const PAUSE_MS = 30_000;

export class ActiveTime {
  private last: number | undefined;

  constructor(public seconds = 0, private readonly now: () => number = () => performance.now()) {}

  /** A key, a click, a move of the mouse over the images. */
  seen(): void {
    const now = this.now();
    if (this.last !== undefined) this.seconds += Math.min(now - this.last, PAUSE_MS) / 1000;
    this.last = now;
  }

  /** The page was hidden: what comes next begins a new stretch. */
  left(): void {
    this.seen();
    this.last = undefined;
  }
}
