/** Light, dark, or as the system says; kept in this browser and shown as `data-theme` on the root element. */

import { useEffect, useState } from "react";

import { keep, kept } from "./kept";

export type Theme = "system" | "light" | "dark";
const THEMES: readonly Theme[] = ["system", "light", "dark"];

export function keptTheme(): Theme {
  const value = kept("theme");
  return THEMES.find((theme) => theme === value) ?? "system";
}

export function showTheme(theme: Theme): void {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

export function useTheme(): [Theme, (theme: Theme) => void] {
  const [theme, setTheme] = useState(keptTheme);
  useEffect(() => showTheme(theme), [theme]);
  return [
    theme,
    (next) => {
      keep("theme", next);
      setTheme(next);
    },
  ];
}

export function themeAfter(theme: Theme): Theme {
  return THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
}
