/** Keeps a page's fault to the page: the frame stays, and says what to do. */

import { Component, type ReactNode } from "react";

import { Empty } from "./parts";

interface Props {
  /** Another key, another try. */
  at: string;
  children: ReactNode;
}

export default class ErrorBoundary extends Component<Props, { fault: Error | null; at: string }> {
  override state = { fault: null as Error | null, at: this.props.at };

  static getDerivedStateFromError(fault: unknown) {
    return { fault: fault instanceof Error ? fault : new Error(String(fault)) };
  }

  static getDerivedStateFromProps(props: Props, state: { at: string }) {
    return props.at === state.at ? null : { fault: null, at: props.at };
  }

  override render() {
    const { fault } = this.state;
    if (!fault) return this.props.children;
    return (
      <Empty
        page
        title="This page could not be shown"
        action={
          <button type="button" className="button primary" onClick={() => location.reload()}>
            Load it again
          </button>
        }
      >
        What you drew is kept. If it happens again, tell whoever runs the platform: {fault.message}
      </Empty>
    );
  }
}
