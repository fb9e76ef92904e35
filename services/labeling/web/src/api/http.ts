/** One way to ask the services: JSON in and out, and every refusal as a `Problem` that says what to do. */

/** Why a service, or the network, did not do what was asked. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly expected: string,
    readonly got: string,
    readonly whatToDo: string,
  ) {
    super(sentence(code, expected, got, whatToDo));
    this.name = "Problem";
  }

  /** Whether no service answered at all; what was sent may be sent again. */
  get away(): boolean {
    return this.status === 0 || this.status === 502 || this.status === 503 || this.status === 504;
  }
}

function sentence(code: string, expected: string, got: string, whatToDo: string): string {
  const parts = [expected && `expected ${expected}`, got && `got ${got}`].filter(Boolean).join(", ");
  const said = parts || code.replaceAll("-", " ");
  return said.charAt(0).toUpperCase() + said.slice(1) + (whatToDo ? ` – ${whatToDo}` : "") + ".";
}

/** Called when a service no longer knows who is asking. */
let onSignedOut: () => void = () => {};

export function whenSignedOut(call: () => void): void {
  onSignedOut = call;
}

let renewing: Promise<boolean> | null = null;

/** Have the session renewed, once for all who wait; false when it is over. */
function renewed(): Promise<boolean> {
  renewing ??= send(addressOf("labeling", "/session/refresh"), { method: "POST" })
    .then((answer) => answer.ok)
    .finally(() => {
      renewing = null;
    });
  return renewing;
}

export type Service = "labeling" | "qa" | "ingest" | "inference" | "edge-miner" | "trainer";

/** The services stand side by side behind one door: the page is `<door>/labeling/`, ingest is `<door>/ingest/`. */
export function addressOf(service: Service, path: string): string {
  const here = new URL(".", document.baseURI);
  return new URL(service === "labeling" ? `.${path}` : `../${service}${path}`, here).href;
}

export interface Asking {
  method?: "GET" | "POST" | "PUT" | "DELETE";
  json?: unknown;
  form?: FormData;
  signal?: AbortSignal;
  keepalive?: boolean;
  accept?: string;
}

/** Ask, and return the answer once it is a good one. A session that ended is renewed once, silently, and the same is asked again. */
export async function ask(url: string, asking: Asking = {}): Promise<Response> {
  let answer = await send(url, asking);
  if (answer.status === 401 && (await renewed())) answer = await send(url, asking);
  if (answer.ok) return answer;
  const problem = await problemOf(answer);
  if (problem.status === 401) onSignedOut();
  throw problem;
}

async function send(url: string, asking: Asking): Promise<Response> {
  // A page of another origin cannot send this header: see the services' rule on cookies.
  const headers: Record<string, string> = { "X-Radloop": "1", Accept: asking.accept ?? "application/json" };
  if (asking.json !== undefined) headers["Content-Type"] = "application/json";
  try {
    return await fetch(url, {
      method: asking.method ?? "GET",
      headers,
      body: asking.form ?? (asking.json === undefined ? undefined : JSON.stringify(asking.json)),
      signal: asking.signal,
      keepalive: asking.keepalive,
      credentials: "same-origin",
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem(0, "network-away", "an answer of the platform", "none", "check the network; it is tried again");
  }
}

async function problemOf(answer: Response): Promise<Problem> {
  try {
    const body = (await answer.json()) as Record<string, unknown>;
    const text = (name: string) => (typeof body[name] === "string" ? (body[name] as string) : "");
    return new Problem(answer.status, text("error") || "refused", text("expected"), text("got"), text("do"));
  } catch {
    return new Problem(answer.status, "refused", "", `status ${answer.status}`, "try again");
  }
}

/** Ask for JSON. */
export async function json<T>(url: string, asking: Asking = {}): Promise<T> {
  const answer = await ask(url, asking);
  return answer.status === 204 ? (undefined as T) : ((await answer.json()) as T);
}

/** Ask for bytes; the browser unpacks what was sent as gzip. */
export async function bytes(url: string, asking: Asking = {}): Promise<{ data: ArrayBuffer; headers: Headers }> {
  const answer = await ask(url, { ...asking, accept: asking.accept ?? "application/octet-stream" });
  return { data: await answer.arrayBuffer(), headers: answer.headers };
}

/** Write a query, leaving out what is empty. */
export function query(values: Record<string, string | number | boolean | undefined | null>): string {
  const used = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return used.length ? `?${new URLSearchParams(used.map(([name, value]) => [name, String(value)]))}` : "";
}
