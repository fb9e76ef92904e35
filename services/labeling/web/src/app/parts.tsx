/** The small parts that every page is made of. */

import { Fragment, type ReactNode, useEffect, useId, useRef } from "react";

import { Problem } from "../api/http";
import { keyParts, useKeys } from "./keys";

/** A key as it stands on the keyboard. */
export function Key({ keys }: { keys: string }) {
  return (
    <>
      {keyParts(keys).map((part, at) => (
        <Fragment key={part}>
          {at > 0 && "+"}
          <kbd>{part}</kbd>
        </Fragment>
      ))}
    </>
  );
}

/** Why something did not work, in the service's words, and a way to try again. */
export function ProblemNotice({ problem, again }: { problem: Error; again?: () => void }) {
  return (
    <div className="notice problem" role="alert">
      <p>{saidOf(problem)}</p>
      {again && (
        <button type="button" className="button small" onClick={again}>
          Try again
        </button>
      )}
    </div>
  );
}

export function saidOf(problem: Error): string {
  return problem instanceof Problem ? problem.message : `Something went wrong in this page – load it again. (${problem.message})`;
}

export function Loading({ what }: { what: string }) {
  return (
    <div className="loading" role="status">
      Loading {what} …
    </div>
  );
}

/** What stands where there is nothing: what that means, and what happens next. `page`: it is all of the page. */
export function Empty({ title, children, action, page }: { title: string; children?: ReactNode; action?: ReactNode; page?: boolean }) {
  return (
    <div className="empty">
      {page ? <h1>{title}</h1> : <h2>{title}</h2>}
      {children && <p>{children}</p>}
      {action}
    </div>
  );
}

/** Stands wherever a prediction, or something computed from one, is shown. */
export function ResearchUse() {
  return <span className="badge research">Research use only</span>;
}

/** A dialog over the page: it takes the focus (`data-first` says what of it), Escape closes it, and what had the focus gets it back. */
export function Dialog(props: {
  title: ReactNode;
  onClose(): void;
  children: ReactNode;
  footer?: ReactNode;
  wide?: boolean;
  /** Left out, the dialog has a close button; false where there is nothing to go back to. */
  closable?: boolean;
}) {
  const { title, onClose, children, footer, wide, closable = true } = props;
  const element = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const before = document.activeElement;
    const dialog = element.current;
    if (dialog && !dialog.open) dialog.showModal();
    (dialog?.querySelector<HTMLElement>("[data-first]") ?? dialog?.querySelector<HTMLElement>(".body"))?.focus();
    return () => {
      dialog?.close();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  useKeys([{ keys: "Escape", label: "Close", group: "Dialog", run: onClose, when: closable }], "dialog");
  return (
    <dialog
      ref={element}
      className={wide ? "wide" : undefined}
      aria-labelledby={heading}
      onCancel={(event) => {
        event.preventDefault();
        if (closable) onClose();
      }}
      onClick={(event) => {
        if (closable && event.target === event.currentTarget) onClose();
      }}
    >
      <header>
        <h2 id={heading}>{title}</h2>
        {closable && (
          <button type="button" className="button quiet small" onClick={onClose}>
            Close <kbd>Esc</kbd>
          </button>
        )}
      </header>
      <div className="body" tabIndex={0} role="group" aria-labelledby={heading}>
        {children}
      </div>
      {footer && <footer>{footer}</footer>}
    </dialog>
  );
}

/** One of few, side by side. */
export function Choice<T extends string>(props: {
  label: string;
  value: T;
  options: readonly { value: T; label: ReactNode; title?: string }[];
  onChange(value: T): void;
}) {
  return (
    <div className="choice" role="group" aria-label={props.label}>
      {props.options.map((option) => (
        <button
          key={option.value}
          type="button"
          title={option.title}
          aria-pressed={option.value === props.value}
          onClick={() => props.onChange(option.value)}
        >
          {option.label}
        </button>
      ))}
    </div>
  );
}
