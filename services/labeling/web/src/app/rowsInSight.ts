/** A list of which only the rows in sight are in the page: what is asked for, and that the selected row is seen. */

import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef } from "react";

import type { WindowedList } from "./windowed";

export function useRowsInSight<Row>(list: WindowedList<Row>, total: number, selected: number, rowPx: number) {
  const scroller = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: total,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowPx,
    overscan: 10,
  });
  const items = virtual.getVirtualItems();
  const first = items[0]?.index ?? 0;
  const last = items.at(-1)?.index ?? 0;
  useEffect(() => list.need(first, last), [list, first, last]);
  useEffect(() => {
    if (selected >= 0 && selected < total) virtual.scrollToIndex(selected, { align: "auto" });
  }, [virtual, selected, total]);
  return { scroller, items, heightPx: virtual.getTotalSize(), selectedInSight: selected >= first && selected <= last };
}
