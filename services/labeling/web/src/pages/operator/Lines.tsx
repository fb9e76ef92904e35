/** The lines of one of the operator's lists; only those in sight are in the page. */

import { age, count, stamp, timeOf } from "../../app/format";
import { useRowsInSight } from "../../app/rowsInSight";
import type { WindowedList } from "../../app/windowed";
import type { Line, Tab } from "./intake";

const ROW_PX = 52;

export interface Deeds {
  show(line: Line): void;
  retry(line: Line): void;
  release(line: Line): void;
  withdraw(line: Line): void;
}

export default function Lines(props: {
  tab: Tab;
  list: WindowedList<Line>;
  administer: boolean;
  selected: number;
  select(index: number): void;
  deeds: Deeds;
}) {
  const { tab, list, administer, selected, select, deeds } = props;
  const total = list.total ?? 0;
  const { scroller, items, heightPx, selectedInSight } = useRowsInSight(list, total, selected, ROW_PX);
  const now = new Date();
  return (
    <div
      ref={scroller}
      className="rows intake"
      role="grid"
      aria-label={tab}
      aria-rowcount={total + 1}
      aria-activedescendant={selectedInSight ? `line-${selected}` : undefined}
      tabIndex={0}
    >
      <div className="head" role="rowgroup">
        <div className="line" role="row" aria-rowindex={1}>
          <div role="columnheader">Study</div>
          <div role="columnheader">{tab === "received" ? "What came of it" : "Why"}</div>
          <div role="columnheader">State</div>
          <div role="columnheader" className="number">
            Instances
          </div>
          <div role="columnheader">When</div>
          <div role="columnheader">Do</div>
        </div>
      </div>
      <div role="rowgroup" style={{ height: heightPx, position: "relative" }}>
        {items.map((item) => {
          const line = list.row(item.index);
          return (
            <div
              key={item.key}
              id={`line-${item.index}`}
              className="line"
              role="row"
              aria-rowindex={item.index + 2}
              aria-selected={item.index === selected}
              style={{ position: "absolute", top: 0, transform: `translateY(${item.start}px)`, height: ROW_PX }}
              onClick={() => select(item.index)}
            >
              {line ? (
                <Cells tab={tab} line={line} now={now} administer={administer} deeds={deeds} />
              ) : (
                <div role="gridcell" aria-colspan={6} className="waiting" />
              )}
            </div>
          );
        })}
      </div>
    </div>
  );
}

function Cells({ tab, line, now, administer, deeds }: { tab: Tab; line: Line; now: Date; administer: boolean; deeds: Deeds }) {
  const at = timeOf(line.at);
  const forms = administer && (tab === "incomplete" || tab === "rejected") && line.studyKey !== "";
  return (
    <>
      <div role="gridcell" className="id" title={line.studyKey}>
        {line.studyKey || "–"}
      </div>
      <div role="gridcell" className="two" title={line.detail}>
        <span>{line.why || "–"}</span>
        {line.detail && <span className="muted">{line.detail}</span>}
      </div>
      <div role="gridcell">{line.state}</div>
      <div role="gridcell" className="number">
        {line.instances === null ? "" : count(line.instances)}
      </div>
      <div role="gridcell" title={stamp(at)}>
        {at ? age(at, now) : "–"}
      </div>
      <div role="gridcell" className="deeds">
        {tab !== "withdrawn" && (
          <button type="button" className="button small" disabled={!line.studyKey} onClick={() => deeds.show(line)}>
            Show
          </button>
        )}
        {forms && (
          <button
            type="button"
            className="button small"
            title={tab === "incomplete" ? "Form cases from what is here, without waiting for more" : "Form it again, with the projects as they are now"}
            onClick={() => deeds.retry(line)}
          >
            Retry
          </button>
        )}
        {tab === "quarantined" && administer && (
          <button type="button" className="button small" onClick={() => deeds.release(line)}>
            Release …
          </button>
        )}
        {tab !== "withdrawn" && administer && (
          <button type="button" className="button small danger" disabled={!line.studyKey} onClick={() => deeds.withdraw(line)}>
            Withdraw …
          </button>
        )}
      </div>
    </>
  );
}
