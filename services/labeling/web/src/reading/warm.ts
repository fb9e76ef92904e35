/** Gets ready what the first case would otherwise wait for: the viewer's code, and the browser's 3-D drawing. */

export async function warm(): Promise<void> {
  const [{ hasWebGl2, start }] = await Promise.all([import("./views"), import("./ReadingPage")]);
  if (hasWebGl2()) start();
}
