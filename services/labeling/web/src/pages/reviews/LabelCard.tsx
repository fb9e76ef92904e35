/** One reader's label in a review: whose, what the checks say, how it agrees, what was said of it. */

import type { ReviewedLabel, Segment } from "../../api/types";
import { dice, measured, shortReader } from "../../app/format";
import { findingWords, outcomeWords, readingWords } from "../../app/words";
import { findingSentence, segmentNumbers } from "./numbers";

export function titleOf(label: ReviewedLabel, at: number): string {
  if (label.source === "import") return `Import ${at + 1}`;
  return label.reading === "adjudication" ? "Adjudicator" : `Reader ${String.fromCharCode(65 + at)}`;
}

export default function LabelCard(props: {
  label: ReviewedLabel;
  at: number;
  color: string;
  chosen: boolean;
  accepted: boolean;
  segments: readonly Segment[];
  onChoose(): void;
  onGo(index: [number, number, number]): void;
}) {
  const { label, at, color, chosen, accepted, segments, onChoose, onGo } = props;
  const nameOf = (value: number) => segments.find((one) => one.value === value)?.name ?? `segment ${value}`;
  const numbers = segmentNumbers(label);
  const title = titleOf(label, at);
  return (
    <section className={`panel label-card${chosen ? " chosen" : ""}`} aria-label={title}>
      <header>
        <button type="button" className="choose" aria-pressed={chosen} onClick={onChoose}>
          <span className="swatch" style={{ background: color }} aria-hidden="true" />
          <strong>{title}</strong>
          <kbd aria-hidden="true">{at + 1}</kbd>
        </button>
        <span className={`badge ${accepted ? "ok" : label.outcome === "returned" ? "danger" : ""}`}>{outcomeWords(label.outcome)}</span>
      </header>
      <div className="body stack">
        <p className="muted">
          <span className="id" title={label.reader}>
            {label.reader ? shortReader(label.reader) : "no reader"}
          </span>
          {label.reading !== "none" && `, ${readingWords(label.reading)} reading`}, attempt {label.attempt}
        </p>
        {label.returned_for.length > 0 && <p>Sent back for: {label.returned_for.map(findingWords).join(", ")}</p>}
        {label.comment && (
          <div className="row">
            <p className="spread">“{label.comment}”</p>
            {label.pin && (
              <button type="button" className="button small" onClick={() => onGo(label.pin!.index)}>
                Slice {label.pin.index[2] + 1}
              </button>
            )}
          </div>
        )}
        {label.findings.length > 0 && (
          <ul className="findings">
            {label.findings.map((finding) => (
              <li key={finding.reason + finding.segment}>
                <span className={`badge ${finding.severity === "return" ? "danger" : "warn"}`}>
                  {finding.severity === "return" ? "returns" : "doubt"}
                </span>{" "}
                {findingSentence(finding, nameOf)}
              </li>
            ))}
          </ul>
        )}
        {numbers.length > 0 && (
          <table className="plain">
            <thead>
              <tr>
                <th scope="col">Segment</th>
                <th scope="col" className="number" title="Dice with the other reader">
                  Reader
                </th>
                <th scope="col" className="number" title="95th percentile of the surface distance to the other reader">
                  95 % mm
                </th>
                <th scope="col" className="number" title="Dice with the model's prediction">
                  Model
                </th>
              </tr>
            </thead>
            <tbody>
              {numbers.map((row) => (
                <tr key={row.segment}>
                  <th scope="row">{nameOf(row.segment)}</th>
                  <td className="number">{dice(row.dice)}</td>
                  <td className="number">{row.surfaceMm === null ? "–" : measured(row.surfaceMm)}</td>
                  <td className="number">{dice(row.modelDice)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
        {label.mean_agreement !== null && <p>Mean Dice with the other reader: {dice(label.mean_agreement)}</p>}
      </div>
    </section>
  );
}
