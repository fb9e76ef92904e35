import { describe, expect, it } from "vitest";
import { LabelVolume } from "./labels";
import { LABEL_MAP, SEGMENT_BITS } from "./masks";
import { packed } from "./packing";

/** The members of a gzip file, unpacked one after another, as the service does it. */
async function unpacked(blob: Blob): Promise<Uint8Array> {
  const { createGunzip } = await import("node:zlib" as string);
  const chunks: Uint8Array[] = [];
  await new Promise<void>((resolve, reject) => {
    const gunzip = createGunzip();
    gunzip.on("data", (chunk: Uint8Array) => chunks.push(chunk));
    gunzip.on("end", resolve);
    gunzip.on("error", reject);
    void blob.arrayBuffer().then((bytes) => gunzip.end(new Uint8Array(bytes)));
  });
  const whole = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

const SHAPES: [number, number, number][] = [[64, 33, 9], [5, 3, 4], [8, 8, 1]];

describe.each([LABEL_MAP, SEGMENT_BITS])("a mask of $dtype", (kind) => {
  it.each(SHAPES)("of %i x %i x %i is packed with every voxel, empty slices among them", async (...shape) => {
    const labels = LabelVolume.empty(shape, kind);
    for (let k = 0; k < shape[2]; k += 3) for (let n = 0; n < labels.sliceSize; n += 7) labels.data[k * labels.sliceSize + n] = kind.given(1, 2 + (n % 31));
    const back = await unpacked(await packed(labels));
    expect(LabelVolume.read(shape, kind, back.buffer as ArrayBuffer).data).toEqual(labels.data);
    // The services read little endian.
    const last = labels.data.length - labels.data.length % labels.sliceSize - labels.sliceSize;
    const bytes = back.slice(last * kind.bytesPerVoxel, (last + 1) * kind.bytesPerVoxel);
    expect([...bytes].reduce((sum, byte, n) => sum + byte * 256 ** n, 0)).toBe(labels.data[last]);
    expect(await unpacked(await packed(LabelVolume.empty(shape, kind)))).toEqual(new Uint8Array(labels.data.byteLength));
  });
});
