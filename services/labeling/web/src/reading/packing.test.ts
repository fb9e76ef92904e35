import { expect, it } from "vitest";
import { LabelVolume } from "./labels";
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

it.each([[64, 33, 9], [5, 3, 4], [8, 8, 1]] as [number, number, number][])("packs every voxel of %i x %i x %i, empty slices among them", async (...shape) => {
  const labels = new LabelVolume(shape);
  for (let k = 0; k < shape[2]; k += 3) for (let n = 0; n < labels.sliceSize; n += 7) labels.data[k * labels.sliceSize + n] = 1 + (n % 5);
  expect(await unpacked(await packed(labels))).toEqual(labels.data);
  expect(await unpacked(await packed(new LabelVolume(shape)))).toEqual(new Uint8Array(labels.data.length));
});
