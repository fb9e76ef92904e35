/**
 * Every keyboard action of the reading room, in one registry: what `useKeys` adds is what the keyboard does and what the
 * sheet under `?` lists.
 *
 * A key is written as `event.key` names it, with modifiers before it: "n", "?", "[", "ArrowUp", "Space", "Ctrl+Z", "Shift+A".
 * Letters are written in either case; Shift counts only for letters and named keys, because "?" already says how it is
 * typed on each keyboard. Ctrl stands for Cmd on a Mac. The plus key alone is "+", with modifiers "Ctrl++".
 */

import { useEffect, useRef } from "react";

export interface KeyAction {
  /** One way, or several ways, to press it. */
  keys: string | readonly string[];
  /** What it does, in a few words: the text of the sheet. */
  label: string;
  /** Heading it stands under in the sheet. */
  group: string;
  run(event: KeyboardEvent): void;
  /** Called when the key is let go, for what lasts as long as a key is held. */
  release?(event: KeyboardEvent): void;
  /** Whether it does anything now; left out: always. */
  when?: boolean | (() => boolean);
  /** Goes on while the key is held (scrolling, sizes). Left out: once for each press. */
  repeat?: boolean;
  /** Also while somebody types in a field. Escape always works there. */
  inFields?: boolean;
}

/** `shell` gives way to `page`; while a `dialog` is open, only its own keys count. */
export type KeyLayer = "shell" | "page" | "dialog";

const LAYERS: readonly KeyLayer[] = ["dialog", "page", "shell"];

interface Scope {
  layer: KeyLayer;
  actions: () => readonly KeyAction[];
}

const scopes: Scope[] = [];
const held = new Map<string, KeyAction>();

/** Add actions until the returned function is called. Of two actions with one key, the one added last wins in its layer. */
export function addKeys(actions: () => readonly KeyAction[], layer: KeyLayer = "page"): () => void {
  const scope = { layer, actions };
  scopes.push(scope);
  return () => {
    const at = scopes.indexOf(scope);
    if (at >= 0) scopes.splice(at, 1);
  };
}

/** Add actions for as long as the component stands; the newest closures are the ones called. */
export function useKeys(actions: readonly KeyAction[], layer: KeyLayer = "page"): void {
  const newest = useRef(actions);
  newest.current = actions;
  useEffect(() => addKeys(() => newest.current, layer), [layer]);
}

/** Listen to the keyboard; called once, by the shell. Returns what ends it. */
export function listenToKeys(target: Window): () => void {
  const lost = () => held.clear();
  target.addEventListener("keydown", pressed);
  target.addEventListener("keyup", released);
  target.addEventListener("blur", lost);
  return () => {
    target.removeEventListener("keydown", pressed);
    target.removeEventListener("keyup", released);
    target.removeEventListener("blur", lost);
  };
}

/** The actions that a key press would reach now, the nearest first. */
export function activeActions(): KeyAction[] {
  const dialog = scopes.some((scope) => scope.layer === "dialog");
  const found: KeyAction[] = [];
  for (const layer of dialog ? (["dialog"] as const) : LAYERS)
    for (const scope of scopes.toReversed()) if (scope.layer === layer) found.push(...scope.actions().filter(isActive));
  return found;
}

/** What the sheet lists: the active actions by group, each key only where it is in force. */
export function keySheet(actions: readonly KeyAction[] = activeActions()): { group: string; rows: { label: string; keys: string[] }[] }[] {
  const taken = new Set<string>();
  const groups = new Map<string, { label: string; keys: string[] }[]>();
  for (const action of actions) {
    const keys = keysOf(action).filter((keys) => !taken.has(normal(keys)));
    if (!keys.length) continue;
    for (const key of keys) taken.add(normal(key));
    const rows = groups.get(action.group) ?? [];
    groups.set(action.group, rows);
    rows.push({ label: action.label, keys });
  }
  return [...groups].map(([group, rows]) => ({ group, rows }));
}

/** The part of a keyboard event that decides. */
export interface Press {
  key: string;
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
  shiftKey: boolean;
  altGraph?: boolean;
}

interface Chord {
  key: string;
  ctrl: boolean;
  alt: boolean;
  shift: boolean;
}

function chordOf(written: string): Chord {
  const parts = written.split("+");
  // "+" and "Ctrl++" end in an empty part: the key is the plus itself.
  const last = parts.pop() || "+";
  const modifiers = parts.filter(Boolean).map((part) => part.toLowerCase());
  const unknown = modifiers.find((name) => !["ctrl", "cmd", "alt", "shift"].includes(name));
  if (unknown) throw new Error(`expected Ctrl, Alt or Shift before the key, got ${written}, write it as in Ctrl+Shift+Z`);
  const key = last.toLowerCase() === "space" ? " " : last.length === 1 ? last.toLowerCase() : last;
  return {
    key,
    ctrl: modifiers.includes("ctrl") || modifiers.includes("cmd"),
    alt: modifiers.includes("alt"),
    shift: modifiers.includes("shift"),
  };
}

/** Whether a press is the key that is written so. */
export function matches(written: string, press: Press): boolean {
  const chord = chordOf(written);
  const key = press.key.length === 1 ? press.key.toLowerCase() : press.key;
  if (key !== chord.key) return false;
  const single = key.length === 1 && key !== " ";
  const letter = single && key.toLowerCase() !== key.toUpperCase();
  // AltGr types a character ("[" on many keyboards) and reports Ctrl and Alt as held.
  const typed = single && !letter && press.altGraph === true;
  if (!typed && (press.ctrlKey || press.metaKey) !== chord.ctrl) return false;
  if (!typed && press.altKey !== chord.alt) return false;
  return single && !letter && !chord.shift ? true : press.shiftKey === chord.shift;
}

/** How a key is shown to people, part by part. */
export function keyParts(written: string): string[] {
  const chord = chordOf(written);
  const shown: Record<string, string> = {
    " ": "Space", ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→", Escape: "Esc", Delete: "Del",
    PageUp: "Page up", PageDown: "Page down",
  };
  const key = shown[chord.key] ?? (chord.key.length === 1 ? chord.key.toUpperCase() : chord.key);
  return [chord.ctrl ? "Ctrl" : "", chord.alt ? "Alt" : "", chord.shift ? "Shift" : "", key].filter(Boolean);
}

/** Which keys an element needs for itself: all while somebody types, those that work a control, or none. */
export type Focus = "typing" | "list" | "button" | "none";

const TYPED = new Set(["text", "search", "email", "url", "tel", "password", "number", "date", "time", "datetime-local", "month", "week"]);

export function focusOf(target: EventTarget | null): Focus {
  if (!target || !("tagName" in target)) return "none";
  const element = target as HTMLElement;
  if (element.isContentEditable) return "typing";
  switch (element.tagName) {
    case "TEXTAREA":
    case "SELECT":
      return "typing";
    case "INPUT": {
      const type = (element as HTMLInputElement).type;
      return TYPED.has(type) ? "typing" : type === "range" || type === "radio" ? "list" : "button";
    }
    case "BUTTON":
    case "A":
    case "SUMMARY":
      return "button";
    default:
      return element.getAttribute?.("role") === "tab" ? "list" : "none";
  }
}

/** The action a press means, or nothing: the browser then does what it does. */
export function actionFor(press: Press & { repeat?: boolean }, focus: Focus): KeyAction | undefined {
  for (const action of activeActions()) {
    if (!keysOf(action).some((written) => matches(written, press))) continue;
    if (focus === "typing" && !action.inFields && press.key !== "Escape") continue;
    const works = press.key === "Enter" || press.key === " ";
    if ((focus === "button" || focus === "list") && works && !press.ctrlKey && !press.metaKey) continue;
    if (focus === "list" && press.key.startsWith("Arrow")) continue;
    return action;
  }
  return undefined;
}

function pressed(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.isComposing) return;
  const press = pressOf(event);
  const action = actionFor(press, focusOf(event.target));
  if (!action) return;
  event.preventDefault();
  if (event.repeat && !action.repeat) return;
  if (action.release) held.set(event.code || event.key, action);
  action.run(event);
}

function released(event: KeyboardEvent): void {
  const code = event.code || event.key;
  const action = held.get(code);
  if (!action) return;
  held.delete(code);
  action.release?.(event);
}

function pressOf(event: KeyboardEvent): Press {
  const { key, ctrlKey, metaKey, altKey, shiftKey } = event;
  return { key, ctrlKey, metaKey, altKey, shiftKey, altGraph: event.getModifierState?.("AltGraph") };
}

function keysOf(action: KeyAction): readonly string[] {
  return typeof action.keys === "string" ? [action.keys] : action.keys;
}

function isActive(action: KeyAction): boolean {
  return typeof action.when === "function" ? action.when() : (action.when ?? true);
}

function normal(written: string): string {
  const { key, ctrl, alt, shift } = chordOf(written);
  return `${ctrl}${alt}${shift}${key}`;
}
