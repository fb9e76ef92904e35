/** A project's reading instructions, in the version asked for: over the page (one key away), and as a page of their own. */

import { useMemo, useState } from "react";

import * as calls from "../../api/calls";
import { useApp } from "../../app/context";
import { useKeys } from "../../app/keys";
import { Dialog, Empty, Loading, ProblemNotice } from "../../app/parts";
import { hashOf } from "../../app/route";
import { useAsk } from "../../app/useAsk";
import { instructionsHtml } from "./markdown";

interface Which {
  project: string;
  version?: number;
}

function Body({ project, version, onVersion }: Which & { onVersion(version: number | undefined): void }) {
  const asked = useAsk(() => calls.instructions(project, version), [project, version]);
  const newest = useApp().me.projects.find((one) => one.project_id === project)?.project_version;
  const shown = asked.data?.project_version;
  const html = useMemo(() => (asked.data ? instructionsHtml(asked.data.instructions) : ""), [asked.data]);
  const last = Math.max(newest ?? 1, shown ?? 1);
  return (
    <div className="stack">
      <div className="row">
        <label className="row no-print">
          <span>Version</span>
          <select
            className="field"
            value={version ?? shown ?? last}
            onChange={(event) => onVersion(Number(event.target.value) === last ? undefined : Number(event.target.value))}
          >
            {Array.from({ length: last }, (_, at) => last - at).map((one) => (
              <option key={one} value={one}>
                {one === last ? `${one} (newest)` : one}
              </option>
            ))}
          </select>
        </label>
        {shown !== undefined && (
          <span className="muted">
            {project}, version {shown} of the project
          </span>
        )}
        {shown !== undefined && shown < last && <span className="badge warn">not the newest</span>}
      </div>
      {asked.problem && <ProblemNotice problem={asked.problem} again={asked.again} />}
      {asked.slow && <Loading what="the instructions" />}
      {asked.data && !asked.data.instructions.trim() && (
        <Empty title="No instructions yet">The project lead writes them in the project; they appear here with its next version.</Empty>
      )}
      {/* Sanitised in markdown.ts. */}
      <div className="prose" dangerouslySetInnerHTML={{ __html: html }} />
    </div>
  );
}

export function InstructionsDialog({ project, version: first, onClose }: Which & { onClose(): void }) {
  const [version, setVersion] = useState(first);
  useKeys([{ keys: "r", label: "Close", group: "Dialog", run: onClose }], "dialog");
  return (
    <Dialog
      title="Reading instructions"
      onClose={onClose}
      wide
      footer={
        <a className="button" href={hashOf({ page: "instructions", project, version })} target="_blank" rel="noreferrer">
          Open in a new tab
        </a>
      }
    >
      <Body project={project} version={version} onVersion={setVersion} />
    </Dialog>
  );
}

export default function InstructionsPage({ project, version }: Which) {
  const { go } = useApp();
  useKeys([{ keys: "Escape", label: "Back to the worklist", group: "Instructions", run: () => go({ page: "worklist", project }) }]);
  return (
    <div className="page">
      <header className="row no-print">
        <h1 className="spread">Reading instructions</h1>
        <button type="button" className="button" onClick={() => window.print()}>
          Print
        </button>
      </header>
      <section className="panel" aria-label="Reading instructions">
        <div className="body">
          <Body
            project={project}
            version={version}
            onVersion={(next) => go({ page: "instructions", project, version: next })}
          />
        </div>
      </section>
    </div>
  );
}
