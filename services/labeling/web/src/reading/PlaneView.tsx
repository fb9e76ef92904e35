/** One plane on the page: Cornerstone3D's picture, the overlay over it, letters, scale, and the hand of the reader. */

import { type RefObject, useEffect, useMemo, useRef } from "react";
import { orientationLetters, scaled, toWorld } from "./geometry";
import type { Frames } from "../api/types";
import { OverlayPainter, type Scene } from "./overlay";
import type { PlaneViewport } from "./views";

/** Who decides what the hand does: a case being read, or labels under review. */
export interface PlaneHost {
  readonly tool: string;
  readonly window: { center: number; width: number };
  readonly radiusMm: number;
  activePlane: PlaneViewport | null;
  pen: Scene["pen"];
  readout?: Scene["readout"];
  readonly frames: Frames | null;
  readonly showsModel: boolean;
  seen(): void;
  changed(): void;
  goTo(index: readonly number[], except?: PlaneViewport): void;
  scroll(plane: PlaneViewport, by: number): void;
  setRadius(radiusMm: number): void;
  setWindow(center: number, width: number): void;
  penDown(plane: PlaneViewport, x: number, y: number, erase: boolean): void;
  penMove(plane: PlaneViewport, x: number, y: number, erase: boolean): void;
  penUp(erase: boolean): void;
  /** The picture was moved or zoomed by hand. */
  moved?(plane: PlaneViewport): void;
  scene(plane: PlaneViewport): Scene;
}

interface Props {
  room: PlaneHost;
  plane: PlaneViewport | null;
  name: string;
  title?: string;
  element: RefObject<HTMLDivElement | null>;
  overlay: RefObject<HTMLCanvasElement | null>;
  painters: Map<string, OverlayPainter>;
  large: boolean;
  hidden: boolean;
  version: number;
}

/** A length of 1, 2 or 5 times a power of ten mm that is at most a third of the picture. */
export function scaleBar(mmPerPixel: number, width: number): { mm: number; pixels: number } {
  const most = (width / 3) * mmPerPixel;
  const power = 10 ** Math.floor(Math.log10(most));
  const mm = [5, 2, 1].map((n) => n * power).find((length) => length <= most) ?? power;
  return { mm, pixels: mm / mmPerPixel };
}

/** What the pointer is doing until it is lifted. */
type Drag = { kind: "pen" | "pan" | "zoom" | "window" | "crosshair"; x: number; y: number; erase: boolean };

export function PlaneView({ room, plane, name, title = name, element, overlay, painters, large, hidden, version }: Props) {
  const drag = useRef<Drag | null>(null);
  const waiting = useRef(0);

  const painter = useMemo(() => {
    if (!plane) return null;
    const made = new OverlayPainter(plane);
    painters.set(plane.id, made);
    return made;
  }, [plane, painters]);

  const drawSoon = useMemo(
    () => () => {
      cancelAnimationFrame(waiting.current);
      waiting.current = requestAnimationFrame(() => {
        if (painter && !hidden) painter.draw(room.scene(plane!));
      });
    },
    [painter, room, hidden, plane],
  );

  useEffect(drawSoon, [drawSoon, version]);

  useEffect(() => {
    const target = element.current;
    if (!target || !plane) return;
    const at = (event: PointerEvent | WheelEvent): [number, number] => {
      const box = target.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    const kindOf = (event: PointerEvent): Drag["kind"] | null => {
      if (event.button === 1) return "pan";
      if (event.button === 2) return "zoom";
      if (event.button !== 0) return null;
      if (event.shiftKey) return "crosshair";
      if (room.tool === "window") return "window";
      if (room.tool === "pan") return "pan";
      return "pen";
    };
    const down = (event: PointerEvent) => {
      const kind = kindOf(event);
      if (!kind) return;
      event.preventDefault();
      target.focus({ preventScroll: true });
      target.setPointerCapture(event.pointerId);
      const [x, y] = at(event);
      drag.current = { kind, x, y, erase: event.altKey || event.ctrlKey };
      room.seen();
      room.activePlane = plane;
      if (kind === "crosshair") room.goTo(plane.voxelAt(x, y), plane);
      if (kind === "pen") {
        room.penDown(plane, x, y, drag.current.erase);
        drawSoon();
      }
    };
    const move = (event: PointerEvent) => {
      const [x, y] = at(event);
      const current = drag.current;
      if (!current) {
        room.penMove(plane, x, y, false);
        drawSoon();
        return;
      }
      const [dx, dy] = [x - current.x, y - current.y];
      if (current.kind === "pen") {
        // The pointer reports more points than there are frames: the line between frames is drawn too.
        const points = event.getCoalescedEvents?.() ?? [];
        for (const point of points.length ? points : [event]) room.penMove(plane, ...at(point), current.erase);
        drawSoon();
        return;
      }
      if (current.kind === "pan") plane.pan(dx, dy);
      if (current.kind === "zoom") plane.zoom(Math.exp(-dy / 150));
      if (current.kind === "crosshair") room.goTo(plane.voxelAt(x, y), plane);
      if (current.kind === "window") {
        const step = room.window.width / 250;
        room.setWindow(room.window.center + dy * step, room.window.width + dx * step);
      }
      if (current.kind === "pan" || current.kind === "zoom") {
        plane.apply();
        room.moved?.(plane);
      }
      current.x = x;
      current.y = y;
    };
    const up = (event: PointerEvent) => {
      const current = drag.current;
      drag.current = null;
      room.seen();
      if (target.hasPointerCapture(event.pointerId)) target.releasePointerCapture(event.pointerId);
      if (current?.kind === "pen") room.penUp(current.erase);
      else if (current) room.changed();
    };
    const leave = () => {
      if (drag.current) return;
      room.pen = null;
      room.readout = null;
      drawSoon();
    };
    let rest = 0;
    const wheel = (event: WheelEvent) => {
      event.preventDefault();
      room.activePlane = plane;
      room.seen();
      // With Shift some browsers turn the wheel sideways.
      const amount = event.deltaY || event.deltaX;
      if (event.shiftKey) return room.setRadius(room.radiusMm * Math.exp(-Math.sign(amount) * 0.12));
      if (event.ctrlKey) {
        plane.zoom(Math.exp(-Math.sign(amount) * 0.15), ...at(event));
        plane.apply();
        room.moved?.(plane);
        return drawSoon();
      }
      rest += event.deltaMode === 0 ? amount / 100 : amount;
      const steps = Math.trunc(rest) || (event.deltaMode === 0 && Math.abs(amount) >= 50 ? Math.sign(amount) : 0);
      if (!steps) return;
      rest -= Math.trunc(rest);
      room.scroll(plane, steps);
    };
    const menu = (event: Event) => event.preventDefault();
    target.addEventListener("pointerdown", down);
    target.addEventListener("pointermove", move);
    target.addEventListener("pointerup", up);
    target.addEventListener("pointercancel", up);
    target.addEventListener("pointerleave", leave);
    target.addEventListener("wheel", wheel, { passive: false });
    target.addEventListener("contextmenu", menu);
    return () => {
      target.removeEventListener("pointerdown", down);
      target.removeEventListener("pointermove", move);
      target.removeEventListener("pointerup", up);
      target.removeEventListener("pointercancel", up);
      target.removeEventListener("pointerleave", leave);
      target.removeEventListener("wheel", wheel);
      target.removeEventListener("contextmenu", menu);
    };
  }, [element, plane, room, drawSoon]);

  const active = room.activePlane === plane && plane !== null;
  const bar = plane && scaleBar(plane.mmPerPixel, plane.width);
  const position = plane && room.frames ? positionOf(room, plane) : "";
  return (
    <section className={`plane${active ? " active" : ""}${large ? " large" : ""}`} hidden={hidden} aria-label={`${title} view`} data-plane={name}>
      <div
        className="picture"
        ref={element}
        tabIndex={0}
        role="application"
        aria-label={`${name} slice ${plane ? plane.slice + 1 : ""} of ${plane?.sliceCount ?? ""}`}
        style={{ cursor: room.tool === "window" || room.tool === "pan" ? "grab" : "crosshair" }}
      />
      <canvas className="overlay" ref={overlay} aria-hidden="true" />
      {plane && (
        <div className="marks" aria-hidden="true">
          <span className="plane-name">{title}</span>
          <span className="edge-top">{orientationLetters(scaled(plane.view.down, -1))}</span>
          <span className="edge-bottom">{orientationLetters(plane.view.down)}</span>
          <span className="edge-left">{orientationLetters(scaled(plane.view.right, -1))}</span>
          <span className="edge-right">{orientationLetters(plane.view.right)}</span>
          <span className="plane-slice">
            {plane.slice + 1} / {plane.sliceCount}
            <small>{position}</small>
          </span>
          {bar && (
            <span className="scale-bar">
              <i style={{ width: bar.pixels }} />
              {bar.mm >= 10 ? `${bar.mm / 10} cm` : `${bar.mm} mm`}
            </span>
          )}
          {room.showsModel && <span className="research-only">Research use only</span>}
        </div>
      )}
    </section>
  );
}

function positionOf(room: PlaneHost, plane: PlaneViewport): string {
  const index = room.frames!.shape.map((n) => (n - 1) / 2);
  index[plane.view.axis] = plane.slice;
  const world = toWorld(room.frames!.affine_lps, index);
  const patient = plane.name === "sagittal" ? 0 : plane.name === "coronal" ? 1 : 2;
  return `${["L", "P", "H"][patient]} ${world[patient].toFixed(1)} mm`;
}
