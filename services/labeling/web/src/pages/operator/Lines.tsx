/** The lines of one of the operator's lists; only those in sight are in the page. */

import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef } from "react";

import { age, count, shortUid, stamp, timeOf } from "../../app/format";
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
  lines: readonly Line[];
  administer: boolean;
  selected: number;
  select(index: number): void;
  deeds: Deeds;
}) {
  const { tab, lines, administer, selected, select, deeds } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: lines.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_PX,
    overscan: 10,
    getItemKey: (index) => lines[index].key,
  });
  useEffect(() => {
    if (selected >= 0 && selected < lines.length) virtual.scrollToIndex(selected, { align: "auto" });
  }, [virtual, selected, lines.length]);
  const now = new Date();
  const items = virtual.getVirtualItems();
  const inSight = items.some((item) => item.index === selected);
  return (
    <div
      ref={scroller}
      className={`rows intake ${tab}`}
      role="grid"
      aria-label={tab}
      aria-rowcount={lines.length + 1}
      aria-activedescendant={inSight ? `line-${selected}` : undefined}
      tabIndex={0}
    >
      <div className="head" role="rowgroup">
        <div className="line" role="row" aria-rowindex={1}>
          <div role="columnheader">Study</div>
          <div role="columnheader">Why</div>
          <div role="columnheader">State</div>
          <div role="columnheader" className="number">
            Instances
          </div>
          <div role="columnheader">When</div>
          <div role="columnheader">Do</div>
        </div>
      </div>
      <div role="rowgroup" style={{ height: virtual.getTotalSize(), position: "relative" }}>
        {items.map((item) => {
          const line = lines[item.index];
          const at = timeOf(line.at);
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
              <div role="gridcell" className="id" title={line.studyKey}>
                {shortUid(line.studyKey)}
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
                <button type="button" className="button small" disabled={!line.studyKey} onClick={() => deeds.show(line)}>
                  Show
                </button>
                {tab === "incomplete" && administer && (
                  <button
                    type="button"
                    className="button small"
                    title="Form cases from what is here, without waiting for more"
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
                {administer && (
                  <button
                    type="button"
                    className="button small danger"
                    disabled={!line.studyKey}
                    onClick={() => deeds.withdraw(line)}
                  >
                    Withdraw …
                  </button>
                )}
              </div>
            </div>
          );
        })}
      </div>
    </div>
  );
}
