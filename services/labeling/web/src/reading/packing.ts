/** A mask on its way to the service: gzip, one member for each slice (RFC 1952 section 2.2 allows several one after another). */

import type { LabelVolume } from "./labels";

/** Empty slices are most of a mask: all of one size have the same member. */
const empty = new Map<number, Promise<ArrayBuffer>>();

function gzip(bytes: Uint8Array): Promise<ArrayBuffer> {
  const stream = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

function isEmpty(slice: Uint8Array): boolean {
  if (slice.byteOffset % 4) return slice.every((value) => value === 0);
  const words = new Uint32Array(slice.buffer, slice.byteOffset, slice.length >> 2);
  for (let n = 0; n < words.length; n++) if (words[n] !== 0) return false;
  for (let n = words.length * 4; n < slice.length; n++) if (slice[n] !== 0) return false;
  return true;
}

/** Pack a mask, i fastest, its voxels in the order of the machine: little endian in every browser. */
export async function packed(labels: LabelVolume): Promise<Blob> {
  const { data } = labels;
  const size = labels.sliceSize * labels.kind.bytesPerVoxel;
  const members: Promise<ArrayBuffer>[] = [];
  for (let k = 0; k < labels.shape[2]; k++) {
    const slice = new Uint8Array(data.buffer, data.byteOffset + k * size, size);
    if (!isEmpty(slice)) {
      members.push(gzip(slice));
      continue;
    }
    if (!empty.has(size)) empty.set(size, gzip(new Uint8Array(size)));
    members.push(empty.get(size)!);
  }
  return new Blob(await Promise.all(members), { type: "application/gzip" });
}
