/** Who is here, which page, and the frame around it. */

import { lazy, Suspense, useCallback, useEffect, useMemo, useState } from "react";

import * as calls from "../api/calls";
import { Problem, whenSignedOut } from "../api/http";
import type { Me } from "../api/types";
import SignInPage, { SessionOver } from "../pages/SignInPage";
import { AppContext } from "./context";
import ErrorBoundary from "./ErrorBoundary";
import { keep, kept } from "./kept";
import { listenToKeys } from "./keys";
import KeySheet from "./KeySheet";
import { Empty, Loading, ProblemNotice } from "./parts";
import { firstProject, mayIn } from "./people";
import { hashOf, parseRoute, type Route } from "./route";
import Shell from "./Shell";

const WorklistPage = lazy(() => import("../pages/worklist/WorklistPage"));
const ReadingPage = lazy(() => import("../reading/ReadingPage"));
const ReviewsPage = lazy(() => import("../pages/reviews/ReviewsPage"));
const ReviewPage = lazy(() => import("../pages/reviews/ReviewPage"));
const OperatorPage = lazy(() => import("../pages/operator/OperatorPage"));
const AuditPage = lazy(() => import("../pages/audit/AuditPage"));
const InstructionsPage = lazy(() => import("../pages/instructions/Instructions"));
const InstructionsDialog = lazy(async () => ({ default: (await import("../pages/instructions/Instructions")).InstructionsDialog }));

const TITLES: Record<Route["page"], string> = {
  home: "reading room",
  worklist: "worklist",
  task: "reading",
  reviews: "reviews",
  review: "review",
  instructions: "instructions",
  operator: "operator",
  audit: "audit trail",
  unknown: "no such page",
};
const SAID_MS = 5000;

export default function App() {
  const [me, setMe] = useState<Me | null>(null);
  const [fault, setFault] = useState<Error | null>(null);
  const [over, setOver] = useState(false);
  const [checking, setChecking] = useState(false);

  const look = useCallback(async () => {
    setChecking(true);
    try {
      const found = await calls.me();
      setMe((before) => {
        // Another person signed in meanwhile: what is open here is not theirs.
        if (before && before.subject !== found.subject) location.reload();
        return found;
      });
      setOver(false);
      setFault(null);
    } catch (error) {
      if (error instanceof Problem && error.status === 401) setOver(true);
      else setFault(error instanceof Error ? error : new Error(String(error)));
    } finally {
      setChecking(false);
    }
  }, []);

  useEffect(() => {
    whenSignedOut(() => setOver(true));
    void look();
    return listenToKeys(window);
  }, [look]);

  // Back from the tab where one signed in again.
  useEffect(() => {
    if (!over) return;
    const back = () => {
      if (document.visibilityState === "visible") void look();
    };
    document.addEventListener("visibilitychange", back);
    return () => document.removeEventListener("visibilitychange", back);
  }, [over, look]);

  if (me)
    return (
      <>
        <SignedIn me={me} />
        {over && <SessionOver again={() => void look()} checking={checking} />}
      </>
    );
  if (over) return <SignInPage />;
  if (fault)
    return (
      <main className="sign-in">
        <ProblemNotice problem={fault} again={() => void look()} />
      </main>
    );
  return (
    <main>
      <Loading what="the reading room" />
    </main>
  );
}

function SignedIn({ me }: { me: Me }) {
  const [route, go] = useRoute();
  const [chosen, setChosen] = useState(() => firstProject(me, kept("project")));
  const [sheet, setSheet] = useState(false);
  const [instructions, setInstructions] = useState<{ project: string; version?: number } | null>(null);
  const [said, setSaid] = useState<{ text: string } | null>(null);

  // An address that names a project chooses it.
  const project = "project" in route ? route.project : chosen;
  useEffect(() => {
    if (project) keep("project", project);
    setChosen(project);
  }, [project]);

  useEffect(() => {
    document.title = `${TITLES[route.page]} – radloop`;
    if (route.page === "home" && project) go({ page: "worklist", project }, true);
  }, [route, project, go]);

  useEffect(() => {
    if (!said) return;
    const timer = setTimeout(() => setSaid(null), SAID_MS);
    return () => clearTimeout(timer);
  }, [said]);

  const app = useMemo(
    () => ({
      me,
      project,
      may: mayIn(me, project),
      setProject: setChosen,
      go,
      say: (text: string) => setSaid({ text }),
      showInstructions: (of: string, version?: number) => setInstructions({ project: of, version }),
    }),
    [me, project, go],
  );

  return (
    <AppContext value={app}>
      <Shell route={route} onSignOut={() => void signOut(app.say)} onSheet={() => setSheet(true)}>
        <ErrorBoundary at={hashOf(route)}>
          <Suspense fallback={<Loading what="the page" />}>
            <Page route={route} me={me} go={go} project={project} />
          </Suspense>
        </ErrorBoundary>
      </Shell>
      {sheet && <KeySheet onClose={() => setSheet(false)} />}
      {instructions && (
        <ErrorBoundary at={instructions.project}>
          <Suspense fallback={null}>
            <InstructionsDialog {...instructions} onClose={() => setInstructions(null)} />
          </Suspense>
        </ErrorBoundary>
      )}
      <div className="said" role="status">
        {said && <div>{said.text}</div>}
      </div>
    </AppContext>
  );
}

function Page({ route, me, go, project }: { route: Route; me: Me; go(route: Route): void; project: string | null }) {
  switch (route.page) {
    case "home":
      return (
        <Empty page title="You have no project yet">
          A project lead adds you to a project, or the identity provider gives you a role. Load this page again then.
        </Empty>
      );
    case "worklist":
      return <WorklistPage key={route.project} project={route.project} />;
    case "task":
      return (
        <ReadingPage
          key={route.task}
          taskId={route.task}
          me={me}
          onLeave={() => go(project ? { page: "worklist", project } : { page: "home" })}
          onTask={(task) => go({ page: "task", task })}
        />
      );
    case "reviews":
      return <ReviewsPage key={route.project} project={route.project} />;
    case "review":
      return <ReviewPage key={route.review} reviewId={route.review} />;
    case "instructions":
      return <InstructionsPage project={route.project} version={route.version} />;
    case "operator":
      return <OperatorPage />;
    case "audit":
      return <AuditPage />;
    case "unknown":
      return (
        <Empty page title="There is no such page" action={<a className="button primary" href="#/">To the worklist</a>}>
          The address {route.address} leads nowhere. Use the links above.
        </Empty>
      );
  }
}

async function signOut(say: (text: string) => void): Promise<void> {
  try {
    const { location: next } = await calls.signOut();
    location.assign(next || "./");
    // An address that differs in its hash only does not load anew.
    if (!next || next === "./") location.reload();
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
  }
}

function useRoute(): [Route, (route: Route, replace?: boolean) => void] {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const changed = () => setHash(location.hash);
    window.addEventListener("hashchange", changed);
    return () => window.removeEventListener("hashchange", changed);
  }, []);
  const go = useCallback((route: Route, replace = false) => {
    if (replace) {
      history.replaceState(null, "", hashOf(route));
      setHash(hashOf(route));
    } else {
      location.hash = hashOf(route);
    }
  }, []);
  return [useMemo(() => parseRoute(hash), [hash]), go];
}
