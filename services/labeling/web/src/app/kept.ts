/** Small choices kept in this browser. A browser that keeps nothing (private, full) is no fault: the choice lasts for the page. */

const memory = new Map<string, string>();

export function kept(name: string): string | null {
  try {
    return localStorage.getItem(`radloop.${name}`) ?? memory.get(name) ?? null;
  } catch {
    return memory.get(name) ?? null;
  }
}

export function keep(name: string, value: string): void {
  memory.set(name, value);
  try {
    localStorage.setItem(`radloop.${name}`, value);
  } catch {
    // Kept for this page only.
  }
}
