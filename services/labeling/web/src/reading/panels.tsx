/** What stands beside the images: tools, segments, the model's part, and how the task is answered. */

import type { ReactNode } from "react";
import type { ReadingRoom, ToolName } from "./room";

export const TOOLS: { name: ToolName; label: string; key: string; icon: string }[] = [
  { name: "brush", label: "Brush", key: "B", icon: "M4 20c2 0 4-1 4-3 0-1.5 1-2.5 2.5-2.5S13 16 13 17.5 10 21 4 20ZM11 13l7.5-8.5a1.4 1.4 0 0 1 2 2L12.5 14.5" },
  { name: "eraser", label: "Eraser", key: "E", icon: "M4 15 13 6a2 2 0 0 1 3 0l3 3a2 2 0 0 1 0 3l-7 7H8l-4-4Zm5-4 6 6M8 19h12" },
  { name: "threshold", label: "Threshold brush", key: "T", icon: "M3 18h4V9h4v9h4V5h4v13h2M3 13h18" },
  { name: "scissors", label: "Scissors (lasso)", key: "C", icon: "M6 8a2 2 0 1 0 0-4 2 2 0 0 0 0 4Zm0 12a2 2 0 1 0 0-4 2 2 0 0 0 0 4ZM7.5 7.5 20 18M7.5 16.5 20 6" },
  { name: "fill", label: "Fill", key: "F", icon: "M5 12 12 5l6 6-7 7-6-6Zm14 2c1 1.5 2 2.500 2 3.500a2 2 0 0 1-4 0c0-1 1-2 2-3.500Z" },
  { name: "length", label: "Length", key: "L", icon: "M4 16 16 4l4 4L8 20l-4-4Zm3-3 2 2m1-5 2 2m1-5 2 2" },
  { name: "window", label: "Window", key: "W", icon: "M12 4a8 8 0 1 0 0 16V4Zm0 0a8 8 0 0 1 0 16" },
  { name: "pan", label: "Move", key: "P", icon: "M12 3v18M3 12h18M12 3 9 6m3-3 3 3m-3 15-3-3m3 3 3-3M3 12l3-3m-3 3 3 3m15-3-3-3m3 3-3 3" },
];

const EYE = "M2 12s4-6.500 10-6.500S22 12 22 12s-4 6.500-10 6.500S2 12 2 12Zm10-3a3 3 0 1 0 0 6 3 3 0 0 0 0-6Z";
const EYE_CLOSED = "M3 10c2 3 5 4.500 9 4.500s7-1.500 9-4.500M6 13l-1.500 3M12 14.500V18M18 13l1.500 3";
const LOCK = "M6 11h12v9H6v-9Zm2 0V8a4 4 0 0 1 8 0v3M12 14.500v2.500";
const LOCK_OPEN = "M6 11h12v9H6v-9Zm2 0V8a4 4 0 0 1 7.500-2";
const ABSENT = "M12 5a7 7 0 1 0 0 14 7 7 0 0 0 0-14ZM5 19 19 5";

function Icon({ path }: { path: string }) {
  return (
    <svg viewBox="0 0 24 24" width="18" height="18" fill="none" stroke="currentColor" strokeWidth="1.6" strokeLinecap="round" strokeLinejoin="round" aria-hidden="true">
      <path d={path} />
    </svg>
  );
}

export function Toolbar({ room }: { room: ReadingRoom }) {
  const choose = (name: ToolName) => {
    room.tool = name;
    room.changed();
  };
  return (
    <div className="toolbar" role="toolbar" aria-label="Tools" aria-orientation="vertical">
      {TOOLS.map((tool) => (
        <button
          key={tool.name}
          type="button"
          aria-pressed={room.tool === tool.name}
          aria-label={`${tool.label}, key ${tool.key}`}
          title={`${tool.label} (${tool.key})`}
          onClick={() => choose(tool.name)}
        >
          <Icon path={tool.icon} />
          <kbd>{tool.key}</kbd>
        </button>
      ))}
      <hr />
      <button type="button" title={`Undo ${room.history?.nextUndo ?? ""} (Ctrl+Z)`} aria-label="Undo, Ctrl+Z" disabled={!room.history?.nextUndo || !room.mayEdit} onClick={() => room.undo()}>
        <Icon path="M9 7 4 12l5 5M4 12h10a6 6 0 0 1 6 6" />
      </button>
      <button type="button" title={`Redo ${room.history?.nextRedo ?? ""} (Ctrl+Shift+Z)`} aria-label="Redo, Ctrl+Shift+Z" disabled={!room.history?.nextRedo || !room.mayEdit} onClick={() => room.redo()}>
        <Icon path="m15 7 5 5-5 5M20 12H10a6 6 0 0 0-6 6" />
      </button>
    </div>
  );
}

function Panel({ title, children, tag }: { title: string; children: ReactNode; tag?: ReactNode }) {
  return (
    <section className="side-panel" aria-label={title}>
      <h2>
        {title} {tag}
      </h2>
      {children}
    </section>
  );
}

/** A setting of the room that is on or off. */
function Setting(props: {
  room: ReadingRoom;
  name: "sphere" | "through" | "onlyBackground" | "showProposal" | "showHeat";
  shortcut?: string;
  children: string;
}) {
  const { room, name, shortcut, children } = props;
  const turn = () => {
    room[name] = !room[name];
    room.changed();
  };
  return (
    <label className="tool-row">
      <input type="checkbox" checked={room[name]} onChange={turn} /> {children}
      {shortcut && <kbd>{shortcut}</kbd>}
    </label>
  );
}

export function ToolPanel({ room }: { room: ReadingRoom }) {
  const tool = TOOLS.find((each) => each.name === room.tool)!;
  return (
    <Panel title={tool.label}>
      {room.paints && (
        <>
          <label className="tool-row">
            Radius
            <input
              type="range"
              min={0}
              max={100}
              value={Math.round((Math.log(room.radiusMm / 0.25) / Math.log(600)) * 100)}
              aria-valuetext={`${room.radiusMm.toFixed(1)} mm`}
              onChange={(event) => room.setRadius(0.25 * 600 ** (Number(event.target.value) / 100))}
            />
            <output>{room.radiusMm.toFixed(1)} mm</output>
          </label>
          <Setting room={room} name="sphere" shortcut="G">Sphere: several slices at once</Setting>
        </>
      )}
      {room.tool === "threshold" && (
        <div className="tool-row">
          Values
          <input type="number" aria-label="Lowest value" value={round(room.threshold[0])} onChange={(event) => { room.threshold = [Number(event.target.value), room.threshold[1]]; room.changed(); }} />
          to
          <input type="number" aria-label="Highest value" value={round(room.threshold[1])} onChange={(event) => { room.threshold = [room.threshold[0], Number(event.target.value)]; room.changed(); }} />
        </div>
      )}
      {room.tool === "scissors" && <Setting room={room} name="through">Through all slices</Setting>}
      {(room.paints || room.tool === "scissors") && <Setting room={room} name="onlyBackground">Spare other segments</Setting>}
      <p className="side-hint">{HINTS[room.tool]}</p>
    </Panel>
  );
}

const HINTS: Record<ToolName, string> = {
  brush: "Left paints, with Ctrl or Alt it erases. Shift+wheel sets the size. Shift+left moves the crosshair.",
  eraser: "Erases the chosen segment. Shift+wheel sets the size.",
  threshold: "Paints only voxels with values in the range.",
  scissors: "Draw around a region: it becomes the segment; with Ctrl or Alt it is cut out of it.",
  fill: "Click inside a closed outline.",
  length: "Drag from one end to the other. Delete removes all lengths.",
  window: "Drag sideways for the width, up and down for the centre.",
  pan: "Drag to move. The middle button does it with every tool; the right one zooms.",
};

function round(value: number): number {
  return Math.abs(value) >= 10 ? Math.round(value) : Math.round(value * 1000) / 1000;
}

export function SegmentPanel({ room }: { room: ReadingRoom }) {
  const { history } = room;
  return (
    <Panel title="Segments">
      <ul className="segment-list">
        {room.segments.map((segment, n) => {
          const absent = history?.absent.has(segment.value) ?? false;
          const active = segment.value === room.activeValue;
          const toggle = (change: () => void) => {
            change();
            room.changed();
          };
          return (
            <li key={segment.value} className={active ? "active" : ""}>
              <button
                type="button"
                className="segment-choose"
                aria-pressed={active}
                onClick={() => toggle(() => (room.activeValue = segment.value))}
                title={`${segment.type.meaning}${n < 9 ? ` (${n + 1})` : ""}`}
              >
                <i className="swatch" style={{ background: segment.color }} />
                <span>{segment.name}</span>
                {n < 9 && <kbd>{n + 1}</kbd>}
                <output>{absent ? "absent" : `${segment.volumeMl.toFixed(2)} mL`}</output>
              </button>
              <span className="segment-flags">
                <button type="button" aria-pressed={segment.visible} aria-label={`${segment.name} visible`} title="Visible" onClick={() => toggle(() => (segment.visible = !segment.visible))}>
                  <Icon path={segment.visible ? EYE : EYE_CLOSED} />
                </button>
                <button type="button" aria-pressed={segment.locked} aria-label={`${segment.name} locked`} title="Locked" onClick={() => toggle(() => (segment.locked = !segment.locked))}>
                  <Icon path={segment.locked ? LOCK : LOCK_OPEN} />
                </button>
                <button type="button" aria-pressed={absent} aria-label={`${segment.name} absent`} title="Absent from this case (X)" disabled={!room.mayEdit} onClick={() => room.toggleAbsent(segment.value)}>
                  <Icon path={ABSENT} />
                </button>
              </span>
            </li>
          );
        })}
      </ul>
      {room.overlapping && <p className="side-hint">Segments may overlap: what is painted or erased is the chosen one, the others stay.</p>}
      {room.active && (
        <label className="tool-row">
          Opacity of {room.active.name}
          <input type="range" min={0} max={100} value={Math.round(room.active.opacity * 100)} onChange={(event) => { room.active!.opacity = Number(event.target.value) / 100; room.changed(); }} />
          <output>{Math.round(room.active.opacity * 100)} %</output>
        </label>
      )}
      <div className="button-row">
        <button type="button" disabled={!room.mayEdit} onClick={() => void room.operate("interpolate", "Interpolate")} title="Between the slices that are painted (I)">Interpolate</button>
        <button type="button" disabled={!room.mayEdit} onClick={() => void room.operate("smooth", "Smooth")} title="Smooth the surface (S)">Smooth</button>
        <button type="button" disabled={!room.mayEdit} onClick={() => void room.operate("remove-islands", "Remove islands")} title="Keep the largest part (D)">Islands</button>
        <button type="button" disabled={!room.mayEdit} onClick={() => void room.operate("fill-holes", "Fill holes")} title="Fill holes (H)">Holes</button>
        <button type="button" disabled={!room.mayEdit} onClick={() => room.copyFrom(-1)} title="Copy from the slice before (<)">Copy ‹</button>
        <button type="button" disabled={!room.mayEdit} onClick={() => room.copyFrom(1)} title="Copy from the slice after (>)">Copy ›</button>
      </div>
    </Panel>
  );
}

/** Why the last answer came back. */
export function ReturnedPanel({ room }: { room: ReadingRoom }) {
  const { task, comment } = room;
  if (!task?.returned.length) return null;
  return (
    <Panel title="Returned to you">
      <p className="returned">{task.returned.map((reason) => reason.replaceAll("-", " ")).join(", ")}</p>
      {comment?.text && <blockquote>{comment.text}</blockquote>}
      {comment?.pin && (
        <button type="button" onClick={() => room.goTo(comment.pin!)}>
          Go to where it points: slice {comment.pin[2] + 1}
        </button>
      )}
    </Panel>
  );
}

/** For an adjudicator: whose answer each segment is taken from. */
export function OthersPanel({ room }: { room: ReadingRoom }) {
  if (!room.others.length) return null;
  const active = room.segments.find((segment) => segment.value === room.activeValue);
  return (
    <Panel title="Readers" tag={room.others.some((other) => other.model) && <span className="research-only">Model: research use only</span>}>
      <p className="side-hint">Take each segment from whom you agree with, then correct it.</p>
      {room.others.map((other, n) => (
        <div key={other.title} className="tool-row">
          <label className="other">
            <input type="checkbox" checked={other.shown} onChange={() => { other.shown = !other.shown; room.changed(); }} />
            <i className="swatch" style={{ background: other.color }} /> {other.title}
          </label>
          <button type="button" disabled={!room.mayEdit} title={`Take ${active?.name} of ${other.title} (Alt+${OTHER_KEYS[n]})`} onClick={() => room.takeFrom(other, room.activeValue)}>
            {active?.name} <kbd>Alt+{OTHER_KEYS[n]}</kbd>
          </button>
          <button type="button" disabled={!room.mayEdit} title={`Take everything of ${other.title}`} onClick={() => room.takeFrom(other, null)}>
            All
          </button>
        </div>
      ))}
    </Panel>
  );
}

export const OTHER_KEYS = ["Q", "W", "E", "R"];

export function ModelPanel({ room }: { room: ReadingRoom }) {
  const { task } = room;
  if (!task) return null;
  if (task.reading === "adjudication") return null;
  if (task.blind) {
    return (
      <Panel title="The model">
        <p className="side-hint">This case is read without the model, so that your answer is your own.</p>
      </Panel>
    );
  }
  if (!room.proposal && !room.heat) {
    return (
      <Panel title="The model">
        <p className="side-hint">{task.proposal_available ? "Loading its proposal…" : "It has made no proposal for this case."}</p>
      </Panel>
    );
  }
  const name = room.segments.find((segment) => segment.value === room.activeValue)?.name;
  return (
    <Panel title="The model" tag={<span className="research-only">Research use only</span>}>
      {room.proposal && (
        <>
          <Setting room={room} name="showProposal" shortcut="M">Its proposal, dashed</Setting>
          <div className="button-row">
            <button type="button" className="primary" disabled={!room.mayEdit} onClick={() => room.acceptAll()}>Accept all <kbd>A</kbd></button>
            <button type="button" disabled={!room.mayEdit} onClick={() => room.acceptSegment(room.activeValue)}>Accept {name} <kbd>⇧A</kbd></button>
          </div>
        </>
      )}
      {room.heat && <Setting room={room} name="showHeat" shortcut="U">Its uncertainty, violet to yellow</Setting>}
      {room.doubts.length > 0 && (
        <>
          <h3>Least sure here <kbd>N</kbd></h3>
          <ol className="doubt-list">
            {room.doubts.map((doubt, n) => (
              <li key={doubt.index.join()}>
                <button type="button" aria-pressed={room.doubt === n} onClick={() => { room.doubt = n; room.goTo(doubt.index); }}>
                  <i style={{ width: `${Math.min(100, (doubt.entropy_nats / (room.doubts[0].entropy_nats || 1)) * 100)}%` }} />
                  <span>{room.segments.find((segment) => segment.value === doubt.segment)?.name ?? "outside"}</span>
                  <small>slice {doubt.index[2] + 1}</small>
                </button>
              </li>
            ))}
          </ol>
        </>
      )}
    </Panel>
  );
}

export function ImagePanel({ room }: { room: ReadingRoom }) {
  const { frames } = room;
  if (!frames) return null;
  return (
    <Panel title="Image">
      <div className="button-row">
        <button type="button" title="Automatic window (0)" onClick={() => room.setWindow(frames.window.center, frames.window.width)}>Auto</button>
        {frames.presets.map((preset, n) => (
          <button key={preset.name} type="button" title={`Centre ${preset.center}, width ${preset.width} (Alt+${n + 1})`} onClick={() => room.setWindow(preset.center, preset.width)}>
            {preset.name}
          </button>
        ))}
      </div>
      <p className="side-hint">
        Window {round(room.window.center)} / {round(room.window.width)} {frames.quantity}
      </p>
      {frames.channels > 1 && (
        <div className="button-row" role="group" aria-label="Channel">
          {Array.from({ length: frames.channels }, (_, n) => (
            <button key={n} type="button" aria-pressed={room.channel === n} onClick={() => void room.showChannel(n)} title="Next channel (Shift+C)">
              Channel {n + 1}
            </button>
          ))}
        </div>
      )}
      {frames.phase_count > 1 && (
        <div className="tool-row">
          <button type="button" aria-pressed={room.playing} aria-label="Play the phases, key K" onClick={() => void room.play()}>{room.playing ? "❚❚" : "▶"}</button>
          <input type="range" aria-label="Phase" min={0} max={frames.phase_count - 1} value={room.phase} onChange={(event) => void room.showPhase(Number(event.target.value))} />
          <output>
            {room.phase + 1} / {frames.phase_count}
            {!room.ownPhase && " (to look at)"}
          </output>
        </div>
      )}
    </Panel>
  );
}
