/** Where one stands without a session: before the first, and over a page whose session ended. */

import { addressOf } from "../api/http";
import { Dialog } from "../app/parts";

export const signInAddress = (hash: string) =>
  addressOf("labeling", `/session/sign-in?next=${encodeURIComponent(hash || "#/")}`);

function OneMachine() {
  return (
    <details>
      <summary>No identity provider? The platform runs on one machine</summary>
      <p>
        Open the address that <code>radloop up</code> printed; it works once. For another one, where the platform runs:{" "}
        <code>radloop token --browser</code>.
      </p>
    </details>
  );
}

export default function SignInPage() {
  return (
    <main className="sign-in">
      <div className="card">
        <h1>radloop reading room</h1>
        <p>Correct cases, read by second eyes, review what was read. Sign in to begin.</p>
        <a className="button primary" href={signInAddress(location.hash)}>
          Sign in
        </a>
        <OneMachine />
      </div>
    </main>
  );
}

/** The page beneath stays as it is, and so does what is unsent in it: one signs in in another tab and comes back. */
export function SessionOver({ again, checking }: { again(): void; checking: boolean }) {
  return (
    <Dialog
      title="Your session is over"
      onClose={() => {}}
      closable={false}
      footer={
        <>
          <button type="button" className="button" onClick={again} disabled={checking}>
            I have signed in
          </button>
          <a className="button primary" href={signInAddress("#/")} target="_blank" rel="noreferrer">
            Sign in in a new tab
          </a>
        </>
      }
    >
      <div className="stack">
        <p>Nothing is lost: this page and what is unsent in it wait here. Sign in in a new tab, then come back.</p>
        <OneMachine />
      </div>
    </Dialog>
  );
}
