/** The images of a review: readers over one another with their difference, or side by side, the model among them. */

import { createRef, useEffect, useMemo, useState, useSyncExternalStore } from "react";
import { useKeys } from "../app/keys";
import { PLANES, type PlaneName } from "./geometry";
import type { OverlayPainter } from "./overlay";
import { PlaneView } from "./PlaneView";
import "./reading.css";
import { ReviewRoom } from "./review";
import { hasWebGl2, largest, Views } from "./views";

interface Props {
  caseId: string;
  projectId: string;
  labels: { labelVersionId: string; title: string; color: string }[];
  showModel: boolean;
  mode: "overlay" | "side-by-side";
  goTo: [number, number, number] | null;
  onCrosshair(index: [number, number, number]): void;
}

export default function ReviewViewer(props: Props) {
  if (!hasWebGl2()) return <p role="alert">This browser cannot draw the images: expected WebGL 2, got none. Turn on hardware acceleration, or use a current browser.</p>;
  const which = `${props.caseId}/${props.labels.map((label) => label.labelVersionId).join()}/${props.showModel}`;
  return <Viewer key={which} {...props} />;
}

function Viewer({ caseId, projectId, labels, showModel, mode, goTo, onCrosshair }: Props) {
  const [plane, setPlane] = useState<PlaneName>("axial");
  const room = useMemo(
    () => new ReviewRoom(caseId, projectId, labels, showModel, onCrosshair),
    // The key of this component changes with what is shown; the callback alone never makes a new room.
    [caseId, projectId],
  );
  const version = useSyncExternalStore(room.subscribe, room.snapshot);
  useEffect(() => {
    void room.open();
    return () => room.close();
  }, [room]);

  const ready = room.stage === "ready";
  const sideBySide = mode === "side-by-side";
  const cells = useMemo(
    () =>
      sideBySide
        ? room.shown.map((shown) => ({ name: plane, title: `${shown.title} · ${plane}` }))
        : PLANES.map((name) => ({ name, title: name as string })),
    // What is shown is complete once the room is ready.
    [sideBySide, plane, room, ready],
  );
  useKeys([
    { keys: "F", label: "Show where readers differ", group: "Image", run: () => { room.showDifference = !room.showDifference; room.changed(); } },
    { keys: "Z", label: "Next plane", group: "Image", when: sideBySide, run: () => setPlane(PLANES[(PLANES.indexOf(plane) + 1) % 3]) },
    { keys: "ArrowUp", label: "Slice before", group: "Image", repeat: true, when: ready, run: () => room.activePlane && room.scroll(room.activePlane, -1) },
    { keys: "ArrowDown", label: "Slice after", group: "Image", repeat: true, when: ready, run: () => room.activePlane && room.scroll(room.activePlane, 1) },
  ]);

  if (room.stage === "failed") return <p role="alert">{room.failure?.message}</p>;
  return (
    <div className="review-viewer" data-stage={room.stage}>
      {!ready && <p>Opening the case…</p>}
      {ready && <Planes key={cells.map((cell) => cell.title).join()} room={room} cells={cells} sideBySide={sideBySide} goTo={goTo} version={version} />}
      <p className="review-legend">
        {room.shown.map((shown) => (
          <span key={shown.title}>
            <i className="swatch" style={{ background: shown.color }} /> {shown.title}
            {shown.model && " (dashed; research use only)"}
          </span>
        ))}
        {room.difference && (
          <label>
            <input type="checkbox" checked={room.showDifference} onChange={() => { room.showDifference = !room.showDifference; room.changed(); }} /> where readers differ <kbd>F</kbd>
          </label>
        )}
        {sideBySide && (
          <button type="button" onClick={() => setPlane(PLANES[(PLANES.indexOf(plane) + 1) % 3])}>
            Plane: {plane} <kbd>Z</kbd>
          </button>
        )}
      </p>
    </div>
  );
}

function Planes(props: { room: ReviewRoom; cells: { name: PlaneName; title: string }[]; sideBySide: boolean; goTo: Props["goTo"]; version: number }) {
  const { room, cells, sideBySide, goTo, version } = props;
  const refs = useMemo(() => cells.map(() => ({ element: createRef<HTMLDivElement>(), overlay: createRef<HTMLCanvasElement>() })), [cells]);
  const painters = useMemo(() => new Map<string, OverlayPainter>(), []);
  useEffect(() => {
    room.sideBySide = sideBySide;
    const views = new Views(
      room.frames!.affine_lps,
      room.frames!.shape,
      refs.map(({ element, overlay }, n) => ({ name: cells[n].name, element: element.current!, overlay: overlay.current! })),
      (plane) => painters.get(plane.id)?.draw(room.scene(plane)),
    );
    void room.show(views);
    const watch = new ResizeObserver(() => views.resize());
    for (const { element } of refs) watch.observe(element.current!);
    return () => {
      watch.disconnect();
      views.destroy();
    };
  }, [room, refs, cells, sideBySide, painters]);
  useEffect(() => {
    if (goTo) room.goTo(goTo);
  }, [room, goTo]);
  return (
    <div className={`planes${sideBySide ? " beside" : ""}`} style={sideBySide ? { gridTemplateColumns: `repeat(${cells.length}, 1fr)` } : undefined}>
      {cells.map(({ name, title }, n) => (
        <PlaneView
          key={title}
          room={room}
          plane={room.views?.planes[n] ?? null}
          name={name}
          title={title}
          element={refs[n].element}
          overlay={refs[n].overlay}
          painters={painters}
          large={sideBySide || name === (room.activePlane ? largest(room.views?.planes ?? [], room.frames!.spacing_mm)?.name : "axial")}
          hidden={false}
          version={version}
        />
      ))}
    </div>
  );
}
