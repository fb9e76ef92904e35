/** A case open before one reader, as it stands: what is in hand, how it is shown, and what overlays draw of it. */

import type { Problem } from "../api/http";
import type { Doubt, Frames, Me, Segment, Task } from "../api/types";
import { ActiveTime } from "./activity";
import type { SegmentStyle } from "./coloring";
import type { StreamedVolume } from "./frames";
import type { EditHistory } from "./history";
import type { DraftJournal, Unsent } from "./journal";
import type { Index3, LabelVolume } from "./labels";
import { SEGMENT_BITS } from "./masks";
import type { Preview, Scene } from "./overlay";
import type { PlaneViewport, Views } from "./views";

export type ToolName = "brush" | "eraser" | "threshold" | "scissors" | "fill" | "length" | "window" | "pan";

/** What stands in the way of going on as before, and what its reader can choose. */
export type Trouble =
  | { kind: "lease-ended"; problem: Problem }
  | { kind: "somebody-else"; problem: Problem }
  | { kind: "another-window"; problem: Problem }
  | { kind: "withdrawn"; problem: Problem }
  | { kind: "closed"; problem: Problem }
  | { kind: "refused"; problem: Problem };

export interface SegmentState extends Segment, SegmentStyle {
  locked: boolean;
  volumeMl: number;
}

/** Another answer for the same case, for an adjudicator to take from. */
export interface Other {
  title: string;
  color: string;
  labels: LabelVolume;
  model: boolean;
  shown: boolean;
}

export const OPACITY = 0.35;

export class RoomState {
  // --- what is open ---------------------------------------------------------------------------------------------------
  task: Task | null = null;
  frames: Frames | null = null;
  segments: SegmentState[] = [];
  projectVersion = 0;
  labels: LabelVolume | null = null;
  history: EditHistory | null = null;
  journal: DraftJournal | null = null;
  volume: StreamedVolume | null = null;
  views: Views | null = null;
  readOnly = false;
  stage: "opening" | "ready" | "failed" = "opening";
  failure: Problem | Error | null = null;
  trouble: Trouble | null = null;
  /** What waited in this browser from before, until its reader decides. */
  unsent: Unsent | null = null;
  busy: string | null = null;
  notice: string | null = null;
  submitted = false;
  loaded = 0;
  failedSlices = 0;
  /** When things happened, in ms since the page was loaded, and how long what is sent took: for the benchmark. */
  readonly timings: Record<string, number> = {};

  // --- how it is shown ------------------------------------------------------------------------------------------------
  tool: ToolName = "brush";
  sphere = false;
  radiusMm = 4;
  threshold: [number, number] = [0, 1];
  onlyBackground = false;
  through = false;
  activeValue = 1;
  labelsShown = true;
  crosshair: Index3 | null = null;
  showCrosshair = true;
  window = { center: 0, width: 1 };
  activePlane: PlaneViewport | null = null;
  large: PlaneViewport | null = null;
  maximised: string | null = null;
  proposal: LabelVolume | null = null;
  showProposal = true;
  heat: LabelVolume | null = null;
  showHeat = false;
  doubts: Doubt[] = [];
  doubt = -1;
  /** Slices as they come, until the volume is drawn as a whole. */
  preview: Preview | null = null;
  /** What came back with a returned label: the reviewer's words, and where they point. */
  comment: { text: string; pin: Index3 | null } | null = null;
  /** For an adjudication: the readers' answers, and the model's. */
  others: Other[] = [];
  phase = 0;
  channel = 0;
  playing = false;
  pen: Scene["pen"] = null;
  /** The value under the pointer, in words. */
  readout: Scene["readout"] = null;

  readonly time = new ActiveTime();
  private readonly listeners = new Set<() => void>();
  /** Volumes of the phases that were looked at, the case's own among them. */
  readonly volumes = new Map<number, StreamedVolume>();
  version = 0;

  constructor(readonly taskId: string, readonly me: Me) {}

  // --- for React ------------------------------------------------------------------------------------------------------
  readonly subscribe = (listener: () => void) => {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  };
  readonly snapshot = () => this.version;
  /** Say that something has changed. */
  readonly changed = () => {
    this.version++;
    for (const listener of this.listeners) listener();
  };

  get mayEdit(): boolean {
    return this.stage === "ready" && this.ownPhase && !this.readOnly && !this.submitted && this.unsent === null && this.trouble === null;
  }

  /** Whether a voxel may have several segments. */
  get overlapping(): boolean {
    return this.labels?.kind === SEGMENT_BITS;
  }

  get ownPhase(): boolean {
    return this.phase === this.frames?.phase;
  }

  /** Whether something of a model's is on the screen. */
  get showsModel(): boolean {
    const other = this.others.some((each) => each.model && each.shown);
    return other || (this.proposal !== null && this.showProposal) || (this.heat !== null && this.showHeat);
  }

  readonly seen = () => this.time.seen();

  get active(): SegmentState | undefined {
    return this.segments.find((segment) => segment.value === this.activeValue);
  }

  /** Show only the edges of some segments, or their insides again. */
  toggleOutline(segments: readonly SegmentState[]): void {
    const filled = segments.some((segment) => segment.opacity > 0);
    for (const segment of segments) segment.opacity = filled ? 0 : OPACITY;
    this.changed();
  }

  /** Segments of which nothing is painted, and of which nobody has said that they are absent. */
  get unanswered(): SegmentState[] {
    return this.segments.filter((segment) => segment.volumeMl <= 1e-9 && !this.history?.absent.has(segment.value));
  }

  // --- what overlays show ---------------------------------------------------------------------------------------------

  scene(): Scene {
    return {
      preview: this.preview,
      labels: this.labelsShown && this.ownPhase ? this.labels : null,
      segments: this.segments,
      activeValue: this.activeValue,
      ghosts: [
        ...(this.proposal && this.showProposal && this.ownPhase ? [{ labels: this.proposal, dashed: true }] : []),
        ...this.others.filter((other) => other.shown).map(({ labels, color, model }) => ({ labels, color, dashed: model })),
      ],
      heat: this.showHeat && this.ownPhase ? this.heat : null,
      marks: this.comment?.pin ? [this.comment.pin] : this.doubt >= 0 && this.doubts.length ? [this.doubts[this.doubt].index] : [],
      crosshair: this.crosshair,
      showCrosshair: this.showCrosshair,
      measures: [...(this.history?.measures.values() ?? [])],
      spacingMm: this.frames?.spacing_mm ?? [1, 1, 1],
      pen: this.pen,
      readout: this.readout,
    };
  }
}
