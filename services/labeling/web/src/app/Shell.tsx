/** The frame around every page: where one is, where one may go, who one is. */

import { type ReactNode, useEffect, useRef } from "react";

import { useApp } from "./context";
import { useKeys } from "./keys";
import { rolesIn } from "./people";
import { hashOf, type Route } from "./route";
import { themeAfter, useTheme } from "./theme";
import { roleWords } from "./words";

const THEME_WORDS = { system: "as the system", light: "light", dark: "dark" };
const THEME_SIGNS = { system: "◐", light: "☀", dark: "☾" };

interface Place {
  label: string;
  keys: string;
  route: Route;
  current: boolean;
}

/** Where a person may go from here, in order. */
export function placesOf(route: Route, project: string | null, may: { oversee: boolean; operate: boolean; audit: boolean }): Place[] {
  const places: (Place | false)[] = [
    project !== null && {
      label: "Worklist",
      keys: "Shift+W",
      route: { page: "worklist", project },
      current: route.page === "worklist" || route.page === "task",
    },
    project !== null &&
      may.oversee && {
        label: "Reviews",
        keys: "Shift+R",
        route: { page: "reviews", project },
        current: route.page === "reviews" || route.page === "review",
      },
    may.operate && { label: "Operator", keys: "Shift+O", route: { page: "operator" }, current: route.page === "operator" },
    may.audit && { label: "Audit", keys: "Shift+U", route: { page: "audit" }, current: route.page === "audit" },
  ];
  return places.filter((place) => place !== false);
}

export default function Shell(props: {
  route: Route;
  onSignOut(): void;
  onSheet(): void;
  children: ReactNode;
}) {
  const { route, onSignOut, onSheet, children } = props;
  const { me, project, may, setProject, go, showInstructions } = useApp();
  const [theme, setTheme] = useTheme();
  const main = useRef<HTMLElement>(null);
  const chooser = useRef<HTMLSelectElement>(null);
  const places = placesOf(route, project, may);
  const roles = rolesIn(me, project);

  useKeys(
    [
      { keys: "?", label: "This sheet", group: "Everywhere", run: onSheet },
      {
        keys: "r",
        label: "Reading instructions",
        group: "Everywhere",
        run: () => project && showInstructions(project),
        when: project !== null,
      },
      ...places.map((place) => ({
        keys: place.keys,
        label: place.label,
        group: "Go to",
        run: () => go(place.route),
      })),
      { keys: "Shift+P", label: "Project", group: "Go to", run: () => chooser.current?.focus(), when: me.projects.length > 1 },
      { keys: "Shift+D", label: "Light, dark, or as the system", group: "Everywhere", run: () => setTheme(themeAfter(theme)) },
      { keys: "Shift+Q", label: "Sign out", group: "Everywhere", run: onSignOut },
    ],
    "shell",
  );

  const chosen = (next: string) => {
    setProject(next);
    go(route.page === "reviews" || route.page === "instructions" ? { page: route.page, project: next } : { page: "worklist", project: next });
  };

  // Who cannot see the page change is taken to its beginning.
  const first = useRef(true);
  useEffect(() => {
    if (!first.current) main.current?.focus({ preventScroll: true });
    first.current = false;
  }, [route.page]);

  return (
    <div className="shell">
      <header className="top">
        <a
          className="button skip"
          href="#main"
          onClick={(event) => {
            event.preventDefault();
            main.current?.focus();
          }}
        >
          Skip to the page
        </a>
        <a className="brand" href="#/">
          radloop <span>reading room</span>
        </a>
        {me.projects.length > 0 && (
          <select
            ref={chooser}
            className="field"
            aria-label="Project"
            title="Project (Shift+P)"
            value={project ?? ""}
            onChange={(event) => chosen(event.target.value)}
          >
            {me.projects.map((one) => (
              <option key={one.project_id} value={one.project_id}>
                {one.project_id}
              </option>
            ))}
          </select>
        )}
        <nav aria-label="Pages">
          {places.map((place) => (
            <a
              key={place.label}
              href={hashOf(place.route)}
              aria-current={place.current ? "page" : undefined}
              title={`${place.label} (${place.keys})`}
            >
              {place.label}
            </a>
          ))}
          {project !== null && (
            <button type="button" onClick={() => showInstructions(project)} title="Reading instructions (R)">
              Instructions
            </button>
          )}
        </nav>
        <span className="spread" />
        <button
          type="button"
          className="button quiet small"
          aria-label={`Colours: ${THEME_WORDS[theme]}`}
          title={`Colours: ${THEME_WORDS[theme]} (Shift+D)`}
          onClick={() => setTheme(themeAfter(theme))}
        >
          <span aria-hidden="true">{THEME_SIGNS[theme]}</span>
        </button>
        <button type="button" className="button quiet small" aria-label="Keyboard" title="Keyboard (?)" onClick={onSheet}>
          <kbd>?</kbd>
        </button>
        <div className="who" title={`${me.name} (${me.subject}), in the platform ${me.pseudonym}`}>
          <span>{me.name}</span>
          <span className="roles">{roles.length ? roles.map(roleWords).join(", ") : "no role here"}</span>
        </div>
        <button type="button" className="button small" onClick={onSignOut}>
          Sign out
        </button>
      </header>
      <main id="main" ref={main} tabIndex={-1}>
        {children}
      </main>
    </div>
  );
}
