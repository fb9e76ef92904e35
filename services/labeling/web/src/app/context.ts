/** What every page knows of the frame around it. */

import { createContext, useContext } from "react";

import type { Me } from "../api/types";
import type { May } from "./people";
import type { Route } from "./route";

export interface App {
  me: Me;
  /** The project chosen, or null for somebody with none. */
  project: string | null;
  /** What I may do in it. */
  may: May;
  /** Make a project the one chosen, without leaving the page. */
  setProject(project: string): void;
  go(route: Route): void;
  /** Say something short to everybody's eyes and ears. */
  say(text: string): void;
  /** Show a project's reading instructions over the page. */
  showInstructions(project: string, version?: number): void;
}

export const AppContext = createContext<App | null>(null);

export function useApp(): App {
  const app = useContext(AppContext);
  if (!app) throw new Error("expected a page inside of the shell, got none, render it by App");
  return app;
}
