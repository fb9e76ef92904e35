/** Scope, search, state, reason and reading of the worklist. */

import type { RefObject } from "react";

import { Choice } from "../../app/parts";
import { FLAG_REASONS, flagWords } from "../../app/words";
import { AT_FIRST, type Filters, isNarrowed, STATES, type StatesName } from "./filters";

export default function FilterBar(props: {
  filters: Filters;
  change(filters: Filters): void;
  team: boolean;
  search: RefObject<HTMLInputElement | null>;
}) {
  const { filters, change, team, search } = props;
  const set = (changed: Partial<Filters>) => change({ ...filters, ...changed });
  return (
    <div className="row filters" role="search" aria-label="Worklist">
      {team && (
        <Choice
          label="Whose tasks"
          value={filters.scope}
          options={[
            { value: "mine", label: "Mine", title: "What I hold, answered, got back, or may take (T)" },
            { value: "team", label: "Team", title: "Everything in the project (T)" },
          ]}
          onChange={(scope) => set({ scope })}
        />
      )}
      <input
        ref={search}
        type="search"
        className="field search"
        placeholder="Search case or task  ( / )"
        aria-label="Search case or task"
        value={filters.search}
        maxLength={100}
        onChange={(event) => set({ search: event.target.value })}
      />
      <select
        className="field"
        aria-label="State"
        value={filters.states}
        onChange={(event) => set({ states: event.target.value as StatesName })}
      >
        {Object.entries(STATES).map(([value, { label }]) => (
          <option key={value} value={value}>
            {label}
          </option>
        ))}
      </select>
      <select className="field" aria-label="Reason" value={filters.reason} onChange={(event) => set({ reason: event.target.value })}>
        <option value="">Any reason</option>
        {FLAG_REASONS.map((reason) => (
          <option key={reason} value={reason}>
            {flagWords(reason)}
          </option>
        ))}
      </select>
      <select className="field" aria-label="Reading" value={filters.reading} onChange={(event) => set({ reading: event.target.value })}>
        <option value="">Any reading</option>
        <option value="first">First reading</option>
        <option value="second">Second reading</option>
        <option value="adjudication">Adjudication</option>
      </select>
      {isNarrowed(filters) && (
        <button
          type="button"
          className="button quiet"
          onClick={() => change({ ...AT_FIRST, scope: filters.scope, sort: filters.sort, descending: filters.descending })}
        >
          Clear filters
        </button>
      )}
    </div>
  );
}
