import { afterEach, describe, expect, it } from "vitest";

import { actionFor, activeActions, addKeys, keyParts, keySheet, listenToKeys, matches, type KeyAction, type Press } from "./keys";

const press = (key: string, held: Partial<Press> = {}): Press => ({
  key, ctrlKey: false, metaKey: false, altKey: false, shiftKey: false, ...held,
});
const action = (keys: string | string[], label: string, more: Partial<KeyAction> = {}): KeyAction => ({
  keys, label, group: "Case", run: () => {}, ...more,
});

const ends: (() => void)[] = [];
const add = (actions: KeyAction[], layer?: "shell" | "page" | "dialog") => ends.push(addKeys(() => actions, layer));
afterEach(() => ends.splice(0).forEach((end) => end()));

describe("how a key is written", () => {
  it("takes letters in either case and wants Shift only where it is written", () => {
    expect(matches("n", press("n"))).toBe(true);
    expect(matches("N", press("n"))).toBe(true);
    expect(matches("n", press("N", { shiftKey: true }))).toBe(false);
    expect(matches("Shift+A", press("A", { shiftKey: true }))).toBe(true);
    expect(matches("Shift+A", press("a"))).toBe(false);
  });
  it("takes a sign however the keyboard types it", () => {
    expect(matches("?", press("?", { shiftKey: true }))).toBe(true);
    expect(matches("[", press("[", { ctrlKey: true, altKey: true, altGraph: true }))).toBe(true);
    expect(matches("+", press("+", { shiftKey: true }))).toBe(true);
    expect(matches("Ctrl++", press("+", { ctrlKey: true }))).toBe(true);
    expect(matches("1", press("1"))).toBe(true);
  });
  it("takes Cmd for Ctrl and nothing for a modifier too many", () => {
    expect(matches("Ctrl+Z", press("z", { metaKey: true }))).toBe(true);
    expect(matches("Ctrl+Z", press("Z", { ctrlKey: true, shiftKey: true }))).toBe(false);
    expect(matches("Ctrl+Shift+Z", press("Z", { ctrlKey: true, shiftKey: true }))).toBe(true);
    expect(matches("z", press("z", { ctrlKey: true }))).toBe(false);
    expect(matches("ArrowUp", press("ArrowUp", { shiftKey: true }))).toBe(false);
    expect(matches("Space", press(" "))).toBe(true);
  });
  it("refuses a modifier that no keyboard has", () => {
    expect(() => matches("Hyper+A", press("a"))).toThrow("write it as in Ctrl+Shift+Z");
  });
  it("shows it as it stands on the keyboard", () => {
    expect(keyParts("Ctrl+Shift+z")).toEqual(["Ctrl", "Shift", "Z"]);
    expect(keyParts("ArrowUp")).toEqual(["↑"]);
  });
});

describe("which action a press means", () => {
  it("prefers the page to the shell, and the newest of a page", () => {
    add([action("i", "page")]);
    add([action("i", "shell"), action("?", "sheet")], "shell");
    expect(actionFor(press("i"), "none")?.label).toBe("page");
    add([action("i", "tool")]);
    expect(actionFor(press("i"), "none")?.label).toBe("tool");
    expect(actionFor(press("?"), "none")?.label).toBe("sheet");
  });
  it("leaves everything to an open dialog", () => {
    add([action("n", "next")]);
    add([action("Escape", "close")], "dialog");
    expect(actionFor(press("n"), "none")).toBeUndefined();
    expect(activeActions().map((found) => found.label)).toEqual(["close"]);
  });
  it("passes over what does nothing now", () => {
    add([action("a", "shell too")], "shell");
    add([action("a", "off", { when: false }), action("b", "off", { when: () => false })]);
    expect(actionFor(press("a"), "none")?.label).toBe("shell too");
    expect(actionFor(press("b"), "none")).toBeUndefined();
  });
  it("keeps away from who types, but for Escape", () => {
    add([action("n", "next"), action("Escape", "leave"), action("Ctrl+Enter", "send", { inFields: true })]);
    expect(actionFor(press("n"), "typing")).toBeUndefined();
    expect(actionFor(press("Escape"), "typing")?.label).toBe("leave");
    expect(actionFor(press("Enter", { ctrlKey: true }), "typing")?.label).toBe("send");
  });
  it("leaves Enter to a button and arrows to a slider", () => {
    add([action("Enter", "open"), action("ArrowUp", "up"), action("n", "next")]);
    expect(actionFor(press("Enter"), "button")).toBeUndefined();
    expect(actionFor(press("ArrowUp"), "button")?.label).toBe("up");
    expect(actionFor(press("ArrowUp"), "list")).toBeUndefined();
    expect(actionFor(press("n"), "list")?.label).toBe("next");
  });
  it("forgets what was taken away", () => {
    const end = addKeys(() => [action("n", "next")]);
    end();
    expect(actionFor(press("n"), "none")).toBeUndefined();
  });
});

describe("the sheet", () => {
  it("lists by group, and each key once, where it is in force", () => {
    add([action(["ArrowDown", "j"], "next row", { group: "List" }), action("n", "next case", { group: "List" })]);
    add([action("n", "hidden by the page", { group: "Shell" }), action(["j", "?"], "this sheet", { group: "Shell" })], "shell");
    expect(keySheet()).toEqual([
      { group: "List", rows: [{ label: "next row", keys: ["ArrowDown", "j"] }, { label: "next case", keys: ["n"] }] },
      { group: "Shell", rows: [{ label: "this sheet", keys: ["?"] }] },
    ]);
  });
});

describe("listening", () => {
  it("runs once for a press, again while held only where it repeats, and says when it is let go", () => {
    const target = new EventTarget();
    const end = listenToKeys(target as unknown as Window);
    const said: string[] = [];
    add([
      action("n", "next", { run: () => said.push("next") }),
      action("]", "bigger", { run: () => said.push("bigger"), repeat: true }),
      action("h", "hide", { run: () => said.push("hide"), release: () => said.push("show") }),
    ]);
    const send = (type: string, key: string, repeat = false) => {
      const event = Object.assign(new Event(type, { cancelable: true }), { ...press(key), code: key, repeat, isComposing: false });
      target.dispatchEvent(event);
      return event.defaultPrevented;
    };
    expect([send("keydown", "n"), send("keydown", "n", true), send("keydown", "x")]).toEqual([true, true, false]);
    send("keydown", "]");
    send("keydown", "]", true);
    send("keydown", "h");
    send("keyup", "h");
    end();
    send("keydown", "n");
    expect(said).toEqual(["next", "bigger", "bigger", "hide", "show"]);
  });
});
