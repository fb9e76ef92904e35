import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

export default defineConfig({
  // Served under whatever prefix the platform's door gives the labeling service.
  base: "./",
  plugins: [react()],
  resolve: {
    // vtk.js brings xmlbuilder2, which extends Node's EventEmitter.
    alias: { events: "events/" },
    dedupe: ["@kitware/vtk.js", "@cornerstonejs/core", "gl-matrix"],
  },
  worker: { format: "es" },
  build: { target: "es2022", chunkSizeWarningLimit: 6000 },
  test: { include: ["src/**/*.test.ts"], environment: "node" },
});
