/** Moving about a case: crosshair, slices, windows, phases and channels. */

import * as calls from "../api/calls";
import { automaticWindow, type LocalValues, localVolume, StreamedVolume } from "./frames";
import { clampIndex } from "./geometry";
import type { Slices } from "./overlay";
import { RoomState } from "./state";
import type { PlaneViewport } from "./views";

export class Looking extends RoomState {
  protected readonly channelIds = new Map<number, string>();
  private readonly channelValues = new Map<number, LocalValues>();

  /** Draw a volume: by the graphics card, or slice by slice where that has no room for it. */
  async draw(volumeId: string, slices: Slices): Promise<void> {
    if (await this.views!.show(volumeId, this.window)) return;
    this.preview = { slices, window: this.window };
    this.notice =
      "This volume is larger than the graphics memory here, so the processor draws it, slice by slice. All tools work; sagittal and coronal planes follow more slowly.";
    this.changed();
  }

  /** What a plane shows has changed: its slice comes first, and it is drawn. */
  private turned(plane: PlaneViewport): void {
    if (plane.view.axis === 2) this.volumes.get(this.phase)?.hurry(plane.slice);
    plane.apply();
  }

  /** Put the crosshair on a voxel and bring every plane there. */
  goTo(index: readonly number[], except?: PlaneViewport): void {
    if (!this.labels || !this.views) return;
    this.crosshair = clampIndex(index, this.labels.shape);
    for (const plane of this.views.planes) {
      if (plane !== except) {
        plane.setSlice(this.crosshair[plane.view.axis]);
        plane.reveal(this.crosshair);
      }
      this.turned(plane);
    }
    this.changed();
  }

  scroll(plane: PlaneViewport, by: number): void {
    if (!plane.setSlice(plane.slice + by)) return;
    if (this.crosshair) this.crosshair[plane.view.axis] = plane.slice;
    this.turned(plane);
    this.changed();
  }

  nextDoubt(step: 1 | -1): void {
    if (!this.doubts.length) return;
    this.doubt = (this.doubt + step + this.doubts.length) % this.doubts.length;
    this.goTo(this.doubts[this.doubt].index);
  }

  setWindow(center: number, width: number): void {
    this.window = { center, width: Math.max(1e-3, width) };
    if (this.preview) this.preview.window = this.window;
    this.views?.setWindow(this.window);
    this.changed();
  }

  /** Show another phase of a 4-D series; the label stays that of its own phase. */
  async showPhase(phase: number): Promise<void> {
    const { frames, views } = this;
    if (!frames || !views || phase === this.phase || phase < 0 || phase >= frames.phase_count) return;
    let volume = this.volumes.get(phase);
    this.phase = phase;
    this.changed();
    try {
      if (!volume) {
        const other = await calls.frames(this.taskId, phase);
        volume = new StreamedVolume(`${this.taskId}/${phase}/0`, other, ({ loaded, total }) => {
          this.views?.arrived(loaded === total);
          this.changed();
        });
        this.volumes.set(phase, volume);
        await volume.open(Math.floor(other.slices.length / 2));
      }
      if (this.phase === phase) await this.draw(volume.volumeId, volume);
    } catch (error) {
      this.notice = (error as Error).message;
      this.playing = false;
    }
    this.changed();
  }

  /** Show another channel of the case; what is painted belongs to all of them. */
  async showChannel(channel: number): Promise<void> {
    const { frames, views } = this;
    if (!frames || !views || channel === this.channel || channel < 0 || channel >= frames.channels) return;
    this.channel = channel;
    this.changed();
    try {
      let id = this.volume!.volumeId;
      if (channel > 0) {
        if (!this.channelIds.has(channel)) {
          this.busy = "Loading the channel …";
          this.changed();
          const { data, headers } = await calls.channelImage(this.taskId, channel);
          const local = localVolume(`${this.taskId}/channel-${channel}`, frames, data, headers.get("X-Dtype") ?? "");
          this.channelIds.set(channel, local.volumeId);
          this.channelValues.set(channel, local.values);
        }
        id = this.channelIds.get(channel)!;
      }
      // Channels are of different quantities: each is shown in its own automatic window.
      const window = channel === 0 ? frames.window : automaticWindow(id);
      this.window = { ...window };
      const size = frames.rows * frames.columns;
      const values = this.channelValues.get(channel);
      const slices = values ? { slice: (k: number) => values.subarray(k * size, (k + 1) * size), loaded: frames.slices.length } : this.volume!;
      if (this.channel === channel) await this.draw(id, slices);
    } catch (error) {
      this.notice = (error as Error).message;
    } finally {
      this.busy = null;
    }
    this.changed();
  }

  /** Value of the phase and channel on the screen at a voxel, once it is here. */
  valueAt(index: readonly number[]): number | undefined {
    const { labels } = this;
    const [i, j, k] = index.map(Math.round);
    if (!labels?.contains(i, j, k)) return undefined;
    if (this.channel > 0) return this.channelValues.get(this.channel)?.[labels.indexOf(i, j, k)];
    return this.volumes.get(this.phase)?.valueAt([i, j, k]);
  }

  async play(): Promise<void> {
    const { frames } = this;
    if (!frames || frames.phase_count < 2) return;
    this.playing = !this.playing;
    this.changed();
    while (this.playing) {
      const began = performance.now();
      await this.showPhase((this.phase + 1) % frames.phase_count);
      await new Promise((resolve) => setTimeout(resolve, Math.max(20, 100 - (performance.now() - began))));
    }
  }
}
