/** A case before its reader: the page around the three planes. */

import { createRef, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { instructions as loadInstructions, nextTask } from "../api/calls";
import type { Me } from "../api/types";
import { useApp } from "../app/context";
import { type KeyAction, useKeys } from "../app/keys";
import { ReportDialog, SkipDialog, SubmitDialog, TroubleDialog, UnsentDialog, VersionsDialog } from "./dialogs";
import { PLANES } from "./geometry";
import type { OverlayPainter } from "./overlay";
import { ImagePanel, ModelPanel, OTHER_KEYS, OthersPanel, ReturnedPanel, SegmentPanel, Toolbar, ToolPanel, TOOLS } from "./panels";
import { PlaneView } from "./PlaneView";
import "./reading.css";
import { ReadingRoom } from "./room";
import { hasWebGl2, largest, Views } from "./views";

interface Props {
  taskId: string;
  me: Me;
  onLeave(): void;
  onTask(taskId: string): void;
}

type Open = "submit" | "skip" | "report" | "versions" | null;

export default function ReadingPage(props: Props) {
  const [turn, setTurn] = useState(0);
  if (!hasWebGl2()) return <NoWebGl onLeave={props.onLeave} />;
  return <Reading key={`${props.taskId}/${turn}`} {...props} onReload={() => setTurn(turn + 1)} />;
}

function NoWebGl({ onLeave }: { onLeave: () => void }) {
  return (
    <main className="reading-message">
      <h1>This browser cannot draw the images</h1>
      <p>Expected WebGL 2, got none. Your work is not touched by it.</p>
      <ul>
        <li>Turn on hardware acceleration in the browser's settings, and start the browser anew.</li>
        <li>Or use a current Firefox, Chrome or Edge; without a graphics card they draw in software.</li>
        <li>On a virtual desktop, ask for one with 3-D graphics, or for a browser policy that allows software WebGL.</li>
      </ul>
      <button type="button" onClick={onLeave}>
        Back to the worklist
      </button>
    </main>
  );
}

function Reading({ taskId, me, onLeave, onTask, onReload }: Props & { onReload: () => void }) {
  const room = useMemo(() => new ReadingRoom(taskId, me), [taskId, me]);
  const version = useSyncExternalStore(room.subscribe, room.snapshot);
  const [open, setOpen] = useState<Open>(null);
  const [done, setDone] = useState<"none" | "asking" | "empty">("none");
  const refs = useMemo(() => PLANES.map(() => ({ element: createRef<HTMLDivElement>(), overlay: createRef<HTMLCanvasElement>() })), []);
  const painters = useRef(new Map<string, OverlayPainter>()).current;

  useEffect(() => {
    // Tests and the benchmark look at the room through this.
    (window as unknown as { radloopRoom?: ReadingRoom }).radloopRoom = room;
    void room.open();
    const hidden = () => (document.hidden ? room.time.left() : room.time.seen());
    const leaving = (event: BeforeUnloadEvent) => {
      if (room.journal?.unsent && !room.readOnly) event.preventDefault();
    };
    document.addEventListener("visibilitychange", hidden);
    window.addEventListener("beforeunload", leaving);
    return () => {
      document.removeEventListener("visibilitychange", hidden);
      window.removeEventListener("beforeunload", leaving);
      room.close();
    };
  }, [room]);

  const ready = room.stage === "ready" && room.volume !== null;
  const { setProject } = useApp();
  const project = room.task?.project_id;
  useEffect(() => {
    if (project) setProject(project);
  }, [project, setProject]);
  useEffect(() => {
    if (!ready || room.views) return;
    const views = new Views(
      room.frames!.affine_lps,
      room.frames!.shape,
      refs.map(({ element, overlay }, n) => ({ name: PLANES[n], element: element.current!, overlay: overlay.current! })),
      (plane) => {
        // The planes are there: the preview has done its part.
        if (views.drawn) room.preview = null;
        painters.get(plane.id)?.draw(room.scene());
      },
    );
    room.views = views;
    room.activePlane = room.large = largest(views.planes, room.frames!.spacing_mm);
    let gone = false;
    void showFirst(room, views, painters).then(() => !gone && room.changed());
    const watch = new ResizeObserver(() => {
      views.resize();
      for (const plane of views.planes) painters.get(plane.id)?.draw(room.scene());
    });
    for (const { element } of refs) watch.observe(element.current!);
    return () => {
      gone = true;
      watch.disconnect();
    };
  }, [ready, room, refs, painters]);

  const next = async () => {
    setDone("asking");
    try {
      const task = await nextTask(room.task!.project_id);
      if (task && task.task_id !== taskId) onTask(task.task_id);
      else if (task) onReload();
      else setDone("empty");
    } catch (error) {
      room.notice = (error as Error).message;
      setDone("empty");
    }
  };
  const submit = () => {
    if (!room.mayEdit) return;
    if (room.unanswered.length) setOpen("submit");
    else void room.submit().then((sent) => sent && void next());
  };
  const [reading, setReading] = useState<string | null>(null);
  const showInstructions = async () => {
    if (reading !== null) return setReading(null);
    try {
      const answer = await loadInstructions(room.task!.project_id, room.projectVersion);
      setReading(answer.instructions || "This project has no reading instructions.");
    } catch (error) {
      room.notice = (error as Error).message;
      room.changed();
    }
  };

  useKeys(useActions(room, { submit, setOpen, onLeave, showInstructions }));

  if (room.stage === "failed") {
    return (
      <main className="reading-message">
        <h1>The case could not be opened</h1>
        <p role="alert">{room.failure?.message}</p>
        <p>Your draft is kept.</p>
        <button type="button" onClick={onReload}>
          Try again
        </button>{" "}
        <button type="button" onClick={onLeave}>
          Back to the worklist
        </button>
      </main>
    );
  }
  if (room.submitted) {
    return (
      <main className="reading-message">
        <h1>{done === "empty" ? "Nothing more to read for now" : "Done"}</h1>
        {done === "asking" && <p>Looking for the next case…</p>}
        {done === "empty" && <p>{room.notice ?? "New cases come with the next round, or when a reading is returned to you."}</p>}
        <button type="button" className="primary" onClick={onLeave}>
          Back to the worklist
        </button>
      </main>
    );
  }
  const { frames, task } = room;
  return (
    <main className={`reading${room.maximised ? " one" : ""}`} data-stage={room.stage} data-loaded={room.loaded} data-total={frames?.slices.length ?? 0}>
      <h1 className="only-read">Case {task?.case_id.slice(0, 8)}</h1>
      <header className="case-bar">
        <button type="button" onClick={onLeave} title="Back to the worklist (Escape)">
          ‹ Worklist
        </button>
        <strong>{task ? `Case ${task.case_id.slice(0, 8)}` : "Opening…"}</strong>
        {task && <Why room={room} />}
        <span className="bar-grow" />
        <Saved room={room} />
        {ready && (
          <>
            <button type="button" onClick={() => void showInstructions()} title="Reading instructions (Y)" aria-pressed={reading !== null}>
              Instructions
            </button>
            <button type="button" onClick={() => setOpen("versions")} title="Versions (V)">
              Versions
            </button>
            <button type="button" onClick={() => setOpen("report")} title="Report an edge case (Shift+R)">
              Report
            </button>
            <button type="button" disabled={!room.mayEdit} onClick={() => setOpen("skip")} title="Skip (Shift+S)">
              Skip
            </button>
            <button type="button" disabled={!room.mayEdit} onClick={() => void room.save()} title="Save a version (Ctrl+S)">
              Save
            </button>
            <button type="button" className="primary" disabled={!room.mayEdit} onClick={submit} title="Submit and take the next (Ctrl+Enter)">
              Submit
            </button>
          </>
        )}
      </header>
      {frames && room.loaded < frames.slices.length && (
        <progress className="slices" max={frames.slices.length} value={room.loaded} aria-label="Slices loaded" />
      )}
      <div className="desk">
        <Toolbar room={room} />
        <div className="planes" data-maximised={room.maximised ?? ""}>
          {PLANES.map((name, n) => (
            <PlaneView
              key={name}
              room={room}
              plane={room.views?.planes[n] ?? null}
              name={name}
              element={refs[n].element}
              overlay={refs[n].overlay}
              painters={painters}
              large={room.large ? room.large.name === name : n === 0}
              hidden={room.maximised !== null && room.maximised !== name}
              version={version}
            />
          ))}
          {!ready && <p className="planes-waiting">Opening the case…</p>}
        </div>
        <aside className="panels" aria-label="Segments and the model">
          {ready && (
            <>
              <ReturnedPanel room={room} />
              <SegmentPanel room={room} />
              <OthersPanel room={room} />
              <ToolPanel room={room} />
              <ModelPanel room={room} />
              <ImagePanel room={room} />
            </>
          )}
        </aside>
        {reading !== null && (
          <aside className="instructions-pane" aria-label="Reading instructions">
            <button type="button" onClick={() => setReading(null)} aria-label="Close the instructions">
              ×
            </button>
            <Instructions text={reading} version={room.projectVersion} />
          </aside>
        )}
      </div>
      <p className="status-line" role="status">
        {room.busy ?? room.notice ?? (room.failedSlices ? `${room.failedSlices} slices could not be loaded: open the case again.` : "")}
      </p>
      {open === "submit" && <SubmitDialog room={room} onClose={() => setOpen(null)} onDone={() => { setOpen(null); void next(); }} />}
      {open === "skip" && <SkipDialog room={room} onClose={() => setOpen(null)} onDone={() => { setOpen(null); void next(); }} />}
      {open === "report" && <ReportDialog room={room} onClose={() => setOpen(null)} />}
      {open === "versions" && <VersionsDialog room={room} onClose={() => setOpen(null)} />}
      {room.unsent && !room.trouble && <UnsentDialog room={room} />}
      {room.trouble && <TroubleDialog room={room} trouble={room.trouble} onLeave={onLeave} onReload={onReload} />}
    </main>
  );
}

/** Show slices as they come, then the volume: to draw one costs seconds without a graphics card, for each time it has changed. */
async function showFirst(room: ReadingRoom, views: Views, painters: Map<string, OverlayPainter>): Promise<void> {
  const volume = room.volume!;
  const k = await volume.first;
  room.preview = { slices: volume, window: room.window };
  for (const plane of views.planes) if (plane.view.axis === 2) plane.setSlice(k);
  if (room.crosshair) room.crosshair[2] = k;
  for (const plane of views.planes) painters.get(plane.id)?.draw(room.scene());
  room.timings.firstPictureAt = performance.now();
  room.changed();
  await volume.all;
  await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
  await room.draw(volume.volumeId, volume);
  room.timings.shown = performance.now();
  views.render();
}

function Instructions({ text, version }: { text: string; version: number }) {
  const [html, setHtml] = useState("");
  useEffect(() => {
    void Promise.all([import("marked"), import("dompurify")]).then(([{ marked }, { default: purify }]) =>
      setHtml(purify.sanitize(marked.parse(text, { async: false }))),
    );
  }, [text]);
  return (
    <>
      {/* Cleaned by DOMPurify: what a project's lead wrote is text, never a program. */}
      <div className="markdown" dangerouslySetInnerHTML={{ __html: html }} />
      <small>Version {version} of the project</small>
    </>
  );
}

const READINGS = { first: "", second: "second reading", adjudication: "adjudication" };

function Why({ room }: { room: ReadingRoom }) {
  const task = room.task!;
  const parts = [
    READINGS[task.reading],
    task.round_number ? `round ${task.round_number}` : "",
    ...task.reasons.map((reason) => reason.replaceAll("-", " ")),
    task.score === null || task.score === undefined ? "" : `score ${task.score.toFixed(3)}`,
  ].filter(Boolean);
  return (
    <span className="case-why">
      {parts.join(" · ")}
      {task.returned.length > 0 && <em> returned to you: {task.returned.map((reason) => reason.replaceAll("-", " ")).join(", ")}</em>}
    </span>
  );
}

function Saved({ room }: { room: ReadingRoom }) {
  const state = room.journal?.state;
  if (!state || room.readOnly) return room.readOnly ? <span className="draft-state">read only</span> : null;
  const text = {
    saved: "Draft saved",
    saving: "Saving the draft…",
    offline: `No connection: ${room.journal!.unsent} steps wait in this browser`,
    refused: "The draft is not being saved",
  }[state.kind];
  return (
    <span className={`draft-state ${state.kind}`} role="status" data-journal={state.kind}>
      {text}
    </span>
  );
}

interface Doing {
  submit(): void;
  setOpen(open: Open): void;
  onLeave(): void;
  showInstructions(): Promise<void>;
}

function useActions(room: ReadingRoom, { submit, setOpen, onLeave, showInstructions }: Doing): KeyAction[] {
  const set = (change: () => void) => () => {
    room.time.seen();
    change();
    room.changed();
  };
  const ready = room.stage === "ready";
  const edit = room.mayEdit;
  const plane = () => room.activePlane ?? room.views?.planes[0];
  const scroll = (by: number) => () => {
    const target = plane();
    if (target) room.scroll(target, by);
  };
  const moveCrosshair = (right: number, down: number) => () => {
    const target = plane();
    if (!target || !room.crosshair) return;
    const [x, y] = target.pixelOf(room.crosshair);
    const step = Math.min(...room.frames!.spacing_mm) / target.mmPerPixel;
    // At least to the next voxel, whatever its shape.
    for (let n = 1; n <= 20; n++) {
      const at = target.voxelAt(x + right * step * n * 0.5, y + down * step * n * 0.5).map(Math.round);
      if (at.some((value, axis) => value !== room.crosshair![axis])) return room.goTo(at, target);
    }
  };
  const zoom = (factor: number) => () => {
    const target = plane();
    target?.zoom(factor);
    target?.apply();
    room.changed();
  };
  const tools = TOOLS.map(({ name, label, key }) => ({
    keys: key, label, group: "Tools", when: ready, run: set(() => (room.tool = name)),
  }));
  const presets = (room.frames?.presets ?? []).slice(0, 9).map((preset, n) => ({
    keys: `Alt+${n + 1}`, label: `Window: ${preset.name}`, group: "Image", run: () => room.setWindow(preset.center, preset.width),
  }));
  const segments = room.segments.slice(0, 9).map((segment, n) => ({
    keys: String(n + 1), label: `Segment ${segment.name}`, group: "Segments", run: set(() => (room.activeValue = segment.value)),
  }));
  const others = room.others.slice(0, OTHER_KEYS.length).map((other, n) => ({
    keys: `Alt+${OTHER_KEYS[n]}`, label: `Take this segment of ${other.title}`, group: "Readers", when: edit, run: () => room.takeFrom(other, room.activeValue),
  }));
  const active = () => room.active!;
  return [
    { keys: "Ctrl+Enter", label: "Submit, and take the next case", group: "Case", when: edit, run: submit },
    { keys: "Ctrl+S", label: "Save a version", group: "Case", when: edit, inFields: true, run: () => void room.save() },
    { keys: "Shift+S", label: "Skip", group: "Case", when: edit, run: () => setOpen("skip") },
    { keys: "Shift+R", label: "Report an edge case", group: "Case", when: ready, run: () => setOpen("report") },
    { keys: "V", label: "Versions", group: "Case", when: ready, run: () => setOpen("versions") },
    { keys: "Y", label: "Reading instructions", group: "Case", when: ready, run: () => void showInstructions() },
    { keys: "Escape", label: "Back to the worklist", group: "Case", run: () => room.cancelPen() || onLeave() },
    { keys: "A", label: "Accept the proposal", group: "The model", when: edit && room.proposal !== null, run: () => room.acceptAll() },
    { keys: "Shift+A", label: "Accept this segment of it", group: "The model", when: edit && room.proposal !== null, run: () => room.acceptSegment(room.activeValue) },
    { keys: "M", label: "Show the proposal", group: "The model", when: room.proposal !== null, run: set(() => (room.showProposal = !room.showProposal)) },
    { keys: "U", label: "Show its uncertainty", group: "The model", when: room.heat !== null, run: set(() => (room.showHeat = !room.showHeat)) },
    { keys: "N", label: "Next place of doubt", group: "The model", when: room.doubts.length > 0, run: () => room.nextDoubt(1) },
    { keys: "Shift+N", label: "Place of doubt before", group: "The model", when: room.doubts.length > 0, run: () => room.nextDoubt(-1) },
    ...others,
    ...tools,
    { keys: "G", label: "Sphere or disc", group: "Tools", when: ready, run: set(() => (room.sphere = !room.sphere)) },
    { keys: "[", label: "Smaller brush", group: "Tools", repeat: true, when: ready, run: () => room.setRadius(room.radiusMm / 1.15) },
    { keys: "]", label: "Larger brush", group: "Tools", repeat: true, when: ready, run: () => room.setRadius(room.radiusMm * 1.15) },
    { keys: "Enter", label: "Paint at the crosshair", group: "Tools", when: edit, run: () => room.stamp(false) },
    { keys: "Shift+Enter", label: "Erase at the crosshair", group: "Tools", when: edit, run: () => room.stamp(true) },
    { keys: "Delete", label: "Remove lengths", group: "Tools", when: edit, run: () => room.removeMeasures() },
    { keys: "Ctrl+Z", label: "Undo", group: "Edit", when: edit, repeat: true, run: () => room.undo() },
    { keys: ["Ctrl+Shift+Z", "Ctrl+Y"], label: "Redo", group: "Edit", when: edit, repeat: true, run: () => room.redo() },
    { keys: "I", label: "Interpolate between painted slices", group: "Edit", when: edit, run: () => void room.operate("interpolate", "Interpolate") },
    { keys: "S", label: "Smooth", group: "Edit", when: edit, run: () => void room.operate("smooth", "Smooth") },
    { keys: "D", label: "Remove islands", group: "Edit", when: edit, run: () => void room.operate("remove-islands", "Remove islands") },
    { keys: "H", label: "Fill holes", group: "Edit", when: edit, run: () => void room.operate("fill-holes", "Fill holes") },
    { keys: "<", label: "Copy from the slice before", group: "Edit", when: edit, run: () => room.copyFrom(-1) },
    { keys: ">", label: "Copy from the slice after", group: "Edit", when: edit, run: () => room.copyFrom(1) },
    { keys: "Shift+Delete", label: "Clear the segment", group: "Edit", when: edit, run: () => room.clearSegment(room.activeValue) },
    ...segments,
    { keys: "X", label: "Absent, or not", group: "Segments", when: edit, run: () => room.toggleAbsent(room.activeValue) },
    { keys: "Shift+L", label: "Lock or unlock it", group: "Segments", when: ready, run: set(() => (active().locked = !active().locked)) },
    { keys: "Shift+V", label: "Show or hide it", group: "Segments", when: ready, run: set(() => (active().visible = !active().visible)) },
    { keys: "Q", label: "Show or hide all labels", group: "Segments", when: ready, run: set(() => (room.labelsShown = !room.labelsShown)) },
    { keys: "J", label: "Its outline only", group: "Segments", when: ready, run: () => room.active && room.toggleOutline([room.active]) },
    { keys: "Shift+J", label: "Outlines of all", group: "Segments", when: ready, run: () => room.toggleOutline(room.segments) },
    { keys: "ArrowUp", label: "Slice before", group: "Image", repeat: true, when: ready, run: scroll(-1) },
    { keys: "ArrowDown", label: "Slice after", group: "Image", repeat: true, when: ready, run: scroll(1) },
    { keys: "PageUp", label: "Ten slices before", group: "Image", repeat: true, when: ready, run: scroll(-10) },
    { keys: "PageDown", label: "Ten slices after", group: "Image", repeat: true, when: ready, run: scroll(10) },
    { keys: "Alt+ArrowLeft", label: "Crosshair to the left", group: "Image", repeat: true, when: ready, run: moveCrosshair(-1, 0) },
    { keys: "Alt+ArrowRight", label: "Crosshair to the right", group: "Image", repeat: true, when: ready, run: moveCrosshair(1, 0) },
    { keys: "Alt+ArrowUp", label: "Crosshair up", group: "Image", repeat: true, when: ready, run: moveCrosshair(0, -1) },
    { keys: "Alt+ArrowDown", label: "Crosshair down", group: "Image", repeat: true, when: ready, run: moveCrosshair(0, 1) },
    { keys: "Z", label: "Next plane", group: "Image", when: ready, run: set(() => {
      const planes = room.views?.planes ?? [];
      room.activePlane = planes[(planes.indexOf(room.activePlane!) + 1) % planes.length];
      if (room.maximised) room.maximised = room.activePlane.name;
    }) },
    { keys: "O", label: "One plane, or three", group: "Image", when: ready, run: set(() => (room.maximised = room.maximised ? null : (plane()?.name ?? null))) },
    { keys: "+", label: "Nearer", group: "Image", repeat: true, when: ready, run: zoom(1.2) },
    { keys: "-", label: "Further away", group: "Image", repeat: true, when: ready, run: zoom(1 / 1.2) },
    { keys: "R", label: "Whole plane", group: "Image", when: ready, run: () => { for (const each of room.views?.planes ?? []) { each.fit(); each.apply(); } room.changed(); } },
    { keys: "0", label: "Automatic window", group: "Image", when: ready, run: () => room.setWindow(room.frames!.window.center, room.frames!.window.width) },
    ...presets,
    { keys: "Shift+X", label: "Show the crosshair", group: "Image", when: ready, run: set(() => (room.showCrosshair = !room.showCrosshair)) },
    { keys: "Shift+C", label: "Next channel", group: "Image", when: (room.frames?.channels ?? 1) > 1, run: () => void room.showChannel((room.channel + 1) % room.frames!.channels) },
    { keys: ",", label: "Phase before", group: "Image", repeat: true, when: (room.frames?.phase_count ?? 1) > 1, run: () => void room.showPhase(room.phase - 1) },
    { keys: ".", label: "Phase after", group: "Image", repeat: true, when: (room.frames?.phase_count ?? 1) > 1, run: () => void room.showPhase(room.phase + 1) },
    { keys: "K", label: "Play the phases", group: "Image", when: (room.frames?.phase_count ?? 1) > 1, run: () => void room.play() },
  ];
}
