/** The sheet under `?`: every key that works on the page now. */

import { useState } from "react";

import { keySheet, useKeys } from "./keys";
import { Dialog, Key } from "./parts";

export default function KeySheet({ onClose }: { onClose(): void }) {
  // Taken before the dialog's own keys are added: the sheet is about the page beneath.
  const [sheet] = useState(() => keySheet());
  useKeys([{ keys: "?", label: "Close", group: "Dialog", run: onClose }], "dialog");
  return (
    <Dialog title="Keyboard" onClose={onClose} wide>
      <div className="sheet">
        {sheet.map(({ group, rows }) => (
          <section key={group} aria-label={group}>
            <h3>{group}</h3>
            <dl>
              {rows.map(({ label, keys }) => (
                <div key={label + keys.join()} style={{ display: "contents" }}>
                  <dt>{label}</dt>
                  <dd>
                    {keys.map((key, at) => (
                      <span key={key}>
                        {at > 0 && " or "}
                        <Key keys={key} />
                      </span>
                    ))}
                  </dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
    </Dialog>
  );
}
