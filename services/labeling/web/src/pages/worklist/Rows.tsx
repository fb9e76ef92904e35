/** The worklist's rows: only those in sight are in the page, however many there are. */

import { useEffect } from "react";

import type { WorklistRow } from "../../api/types";
import { age, measured, short, stamp, timeOf } from "../../app/format";
import { hashOf } from "../../app/route";
import { useRowsInSight } from "../../app/rowsInSight";
import type { WindowedList } from "../../app/windowed";
import { findingWords, readingWords, taskStateWords, whyWords } from "../../app/words";
import { type Filters, sortedBy, type SortName } from "./filters";

const ROW_PX = 44;

const COLUMNS: readonly { name: string; sort?: SortName; title?: string }[] = [
  { name: "Why it is here" },
  { name: "Score", sort: "score", title: "How strongly the round ranked it; higher is worse" },
  { name: "Priority", sort: "urgency", title: "Order in which cases are handed out" },
  { name: "Round", sort: "round" },
  { name: "State", sort: "state" },
  { name: "Age", sort: "age" },
  { name: "Reading" },
  { name: "Modality" },
  { name: "Draft", title: "Whether I have a draft of it" },
  { name: "Case", sort: "case" },
];

export default function Rows(props: {
  list: WindowedList<WorklistRow>;
  total: number;
  filters: Filters;
  change(filters: Filters): void;
  selected: number;
  select(index: number): void;
  open(row: WorklistRow): void;
  /** Rows in sight, for Page up and Page down. */
  onPage(rows: number): void;
}) {
  const { list, total, filters, change, selected, select, open, onPage } = props;
  const { scroller, items, heightPx, selectedInSight } = useRowsInSight(list, total, selected, ROW_PX);
  useEffect(() => {
    const height = scroller.current?.clientHeight ?? 0;
    onPage(Math.max(1, Math.floor(height / ROW_PX) - 2));
  });

  const now = new Date();
  return (
    <div
      ref={scroller}
      className="rows"
      role="grid"
      aria-label="Worklist"
      aria-rowcount={total + 1}
      aria-colcount={COLUMNS.length}
      aria-activedescendant={selectedInSight ? `row-${selected}` : undefined}
      tabIndex={0}
    >
      <div className="head" role="rowgroup">
        <div className="line" role="row" aria-rowindex={1}>
          {COLUMNS.map(({ name, sort, title }) => (
            <div
              key={name}
              role="columnheader"
              title={title}
              aria-sort={sort && filters.sort === sort ? (filters.descending ? "descending" : "ascending") : undefined}
            >
              {sort ? (
                <button type="button" onClick={() => change(sortedBy(filters, sort))}>
                  {name}
                  <span aria-hidden="true">{filters.sort === sort ? (filters.descending ? " ↓" : " ↑") : ""}</span>
                </button>
              ) : (
                name
              )}
            </div>
          ))}
        </div>
      </div>
      <div role="rowgroup" style={{ height: heightPx, position: "relative" }}>
        {items.map((item) => {
          const row = list.row(item.index);
          return (
            <div
              key={item.key}
              id={`row-${item.index}`}
              className="line"
              role="row"
              aria-rowindex={item.index + 2}
              aria-selected={item.index === selected}
              style={{ position: "absolute", top: 0, transform: `translateY(${item.start}px)`, height: ROW_PX }}
              onClick={() => {
                select(item.index);
                if (row) open(row);
              }}
            >
              {row ? <Cells row={row} now={now} /> : <div role="gridcell" aria-colspan={COLUMNS.length} className="waiting" />}
            </div>
          );
        })}
      </div>
    </div>
  );
}

function Cells({ row, now }: { row: WorklistRow; now: Date }) {
  const created = timeOf(row.created_at);
  return (
    <>
      <div role="gridcell" className="why">
        {row.returned.length > 0 && (
          <span className="badge danger">sent back: {row.returned.map(findingWords).join(", ")}</span>
        )}
        {row.reported_by_reader && <span className="badge warn">reported</span>}
        <Why row={row} />
      </div>
      <div role="gridcell" className="number">
        {row.score === null ? "–" : measured(row.score)}
      </div>
      <div role="gridcell">{row.reading === "adjudication" ? "first" : `rank ${row.rank}`}</div>
      <div role="gridcell">{row.round_number}</div>
      <div role="gridcell">
        <State row={row} />
      </div>
      <div role="gridcell" title={stamp(created)}>
        {created ? age(created, now) : "–"}
      </div>
      <div role="gridcell" title={`attempt ${row.attempt}`}>
        {readingWords(row.reading)}
        {row.attempt > 1 && <span className="muted"> again</span>}
      </div>
      <div role="gridcell" title={row.shape.length ? `${row.shape.join(" × ")} voxels` : undefined}>
        {row.modality || "–"}
      </div>
      <div role="gridcell">{row.draft_sequence > 0 ? <span className="badge accent">draft</span> : ""}</div>
      <div role="gridcell">
        <a
          className="id"
          href={hashOf({ page: "task", task: row.task_id })}
          tabIndex={-1}
          title={row.case_id}
          onClick={(event) => event.stopPropagation()}
        >
          {short(row.case_id)}
        </a>
      </div>
    </>
  );
}

function Why({ row }: { row: WorklistRow }) {
  const why = whyWords(row.reasons);
  if (why.length)
    return (
      <span className="text" title={why.join(", ")}>
        {why.join(", ")}
      </span>
    );
  if (row.reading === "adjudication") return <span className="text">the readers disagree</span>;
  return <span className="text muted">{row.blind ? "read without the model" : "–"}</span>;
}

function State({ row }: { row: WorklistRow }) {
  if (row.held_by === "you") return <span className="badge accent">in your hands</span>;
  const tone = { returned: "danger", approved: "ok", leased: "warn" }[row.state as string] ?? "";
  return <span className={`badge ${tone}`}>{taskStateWords(row.state)}</span>;
}
