/** The pages' addresses: hash routes, so that the page is one file under whatever prefix the door gives it. */

export type Route =
  | { page: "home" }
  | { page: "worklist"; project: string }
  | { page: "task"; task: string }
  | { page: "reviews"; project: string }
  | { page: "review"; review: string }
  | { page: "instructions"; project: string; version?: number }
  | { page: "operator" }
  | { page: "audit" }
  | { page: "unknown"; address: string };

export function parseRoute(hash: string): Route {
  const address = hash.replace(/^#?\/?/, "").replace(/\/$/, "");
  const [page, ...rest] = address.split("/").map(decoded);
  const unknown: Route = { page: "unknown", address };
  if (rest.some((part) => part === "")) return unknown;
  if (address === "") return { page: "home" };
  switch (`${page}/${rest.length}`) {
    case "worklist/1":
      return { page: "worklist", project: rest[0] };
    case "task/1":
      return { page: "task", task: rest[0] };
    case "reviews/1":
      return { page: "reviews", project: rest[0] };
    case "review/1":
      return { page: "review", review: rest[0] };
    case "instructions/1":
      return { page: "instructions", project: rest[0] };
    case "instructions/2":
      return /^[1-9]\d{0,8}$/.test(rest[1]) ? { page: "instructions", project: rest[0], version: Number(rest[1]) } : unknown;
    case "operator/0":
      return { page: "operator" };
    case "audit/0":
      return { page: "audit" };
    default:
      return unknown;
  }
}

export function hashOf(route: Route): string {
  const written = (...parts: (string | number)[]) => `#/${parts.map((part) => encodeURIComponent(part)).join("/")}`;
  switch (route.page) {
    case "home":
      return "#/";
    case "worklist":
      return written("worklist", route.project);
    case "task":
      return written("task", route.task);
    case "reviews":
      return written("reviews", route.project);
    case "review":
      return written("review", route.review);
    case "instructions":
      return route.version ? written("instructions", route.project, route.version) : written("instructions", route.project);
    case "operator":
      return "#/operator";
    case "audit":
      return "#/audit";
    case "unknown":
      return `#/${route.address}`;
  }
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
