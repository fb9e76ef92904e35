/** One review: the readers' labels over the image, their numbers, and the decision. */

import { lazy, Suspense, useCallback, useEffect, useMemo, useState } from "react";

import * as calls from "../../api/calls";
import type { Review } from "../../api/types";
import { useApp } from "../../app/context";
import { dice, short } from "../../app/format";
import { type KeyAction, useKeys } from "../../app/keys";
import { Choice, Dialog, Loading, ProblemNotice, ResearchUse, saidOf } from "../../app/parts";
import { hashOf } from "../../app/route";
import { useAsk, useWhileSeen } from "../../app/useAsk";
import { doubtWords, reviewStateWords } from "../../app/words";
import { GoldChoice } from "./Gold";
import LabelCard, { titleOf } from "./LabelCard";
import { colorOf, decisionsIn, meanModelDice, newestLabels, reviewAfter } from "./numbers";
import ReturnDialog, { type Returning } from "./ReturnDialog";

const ReviewViewer = lazy(() => import("../../reading/ReviewViewer"));

/** Every look at a review is on record, so it is looked at again only while its checks run. */
const CHECKING_MS = 5000;

type Index3 = [number, number, number];
type Mode = "overlay" | "side-by-side";

export default function ReviewPage({ reviewId }: { reviewId: string }) {
  const { setProject } = useApp();
  const asked = useAsk(() => calls.review(reviewId), [reviewId]);
  const [decided, setDecided] = useState<Review | null>(null);
  // What a decision answered holds until something newer is heard.
  const review = decided && decided.sequence >= (asked.data?.sequence ?? 0) ? decided : asked.data;
  const project = review?.project_id;
  useWhileSeen(asked.again, review?.state === "checking" ? CHECKING_MS : undefined);
  useEffect(() => {
    if (project) setProject(project);
  }, [project, setProject]);
  return (
    <div className="review">
      {asked.problem && <ProblemNotice problem={asked.problem} again={asked.again} />}
      {asked.slow && <Loading what="the review" />}
      {review && <Decision review={review} onDecided={setDecided} />}
    </div>
  );
}

function Decision({ review, onDecided }: { review: Review; onDecided(review: Review): void }) {
  const { go, say, may } = useApp();
  const labels = useMemo(() => newestLabels(review.labels ?? []), [review]);
  const segments = useAsk(() => calls.segments(review.project_id), [review.project_id]);
  const [chosen, setChosen] = useState(0);
  const [mode, setMode] = useState<Mode>("overlay");
  const [model, setModel] = useState(true);
  const [goTo, setGoTo] = useState<Index3 | null>(null);
  const [crosshair, setCrosshair] = useState<Index3 | null>(null);
  const [returning, setReturning] = useState(false);
  const [advice, setAdvice] = useState(false);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Error | null>(null);

  const label = labels[Math.min(chosen, labels.length - 1)];
  const title = label ? titleOf(label, labels.indexOf(label)) : "";
  const can = decisionsIn(review.state);
  const ready = may.decide && label !== undefined && !busy;

  const shown = useMemo(
    () => labels.map((one, at) => ({ labelVersionId: one.label_version_id, title: titleOf(one, at), color: colorOf(at) })),
    [labels],
  );
  const point = useCallback((index: Index3) => setCrosshair(index), []);

  const act = async (what: () => Promise<void>) => {
    setBusy(true);
    setProblem(null);
    try {
      await what();
    } catch (error) {
      setProblem(error as Error);
    } finally {
      setBusy(false);
    }
  };
  const accept = () =>
    act(async () => {
      onDecided(await calls.approveReview(review.review_id, label.label_version_id));
      say(`Accepted the label of ${title}. It trains the model from now on.`);
    });
  const sendBack = ({ reason, comment, index }: Returning) =>
    act(async () => {
      const pin = index && { index, label_version_id: label.label_version_id };
      const body = { label_version_id: label.label_version_id, reason, comment };
      onDecided(await calls.returnReview(review.review_id, pin ? { ...body, pin } : body));
      setReturning(false);
      say(`Returned the label of ${title} to its reader.`);
    });
  const adjudicate = () =>
    act(async () => {
      const wanted = { project_id: review.project_id, scope: "team" as const, reading: "adjudication", search: review.case_id };
      const { tasks } = await calls.worklist({ ...wanted, state: "open,leased,returned", limit: 1 });
      if (tasks.length) go({ page: "task", task: tasks[0].task_id });
      else setAdvice(true);
    });
  const another = async (step: 1 | -1) => {
    try {
      const { reviews } = await calls.reviews({ project_id: review.project_id, state: "held-for-reviewer", limit: 500 });
      const next = reviewAfter(reviews.map((one) => one.review_id), review.review_id, step);
      if (next) go({ page: "review", review: next });
      else say("No other review waits for a reviewer.");
    } catch (error) {
      say(saidOf(error as Error));
    }
  };

  const queue = { page: "reviews" as const, project: review.project_id };
  const decide = "Decide";
  const look = "Look";
  const keys: KeyAction[] = [
    { keys: "a", label: "Accept the chosen label", group: decide, run: () => void accept(), when: ready && can.accept },
    { keys: "x", label: "Return the chosen label", group: decide, run: () => setReturning(true), when: ready && can.sendBack },
    { keys: "d", label: "Adjudicate", group: decide, run: () => void adjudicate(), when: can.sendBack && may.oversee },
    { keys: "n", label: "Next review", group: decide, run: () => void another(1) },
    { keys: "p", label: "Review before", group: decide, run: () => void another(-1) },
    ...labels.slice(0, 9).map((one, at) => ({
      keys: String(at + 1),
      label: `Choose ${titleOf(one, at)}`,
      group: look,
      run: () => setChosen(at),
    })),
    { keys: "v", label: "Overlaid, or side by side", group: look, run: () => setMode(mode === "overlay" ? "side-by-side" : "overlay") },
    { keys: "m", label: "Show the model, or not", group: look, run: () => setModel(!model) },
    {
      keys: "c",
      label: "Go to where the comment is pinned",
      group: look,
      run: () => label?.pin && setGoTo([...label.pin.index]),
      when: Boolean(label?.pin),
    },
    { keys: "Escape", label: "Back to the queue", group: look, run: () => go(queue) },
  ];
  useKeys(keys);

  return (
    <>
      <header className="row bar">
        <a className="button quiet small" href={hashOf(queue)}>
          Queue <kbd>Esc</kbd>
        </a>
        <h1>
          Case <span className="id">{short(review.case_id)}</span>
        </h1>
        <span className={`badge ${review.state === "held-for-reviewer" ? "warn" : review.state === "approved" ? "ok" : ""}`}>
          {reviewStateWords(review.state)}
        </span>
        {review.doubts.map((one) => (
          <span key={one} className="badge">
            {doubtWords(one)}
          </span>
        ))}
        <span className="spread" />
        <Choice<Mode>
          label="Labels"
          value={mode}
          options={[
            { value: "overlay", label: "Overlaid", title: "Overlaid (V)" },
            { value: "side-by-side", label: "Side by side", title: "Side by side (V)" },
          ]}
          onChange={setMode}
        />
        <label className="check" title="Show the model (M)">
          <input type="checkbox" checked={model} onChange={(event) => setModel(event.target.checked)} />
          Model
        </label>
        <ResearchUse />
      </header>
      <div className="desk">
        <section className="stage" aria-label="Images">
          <Suspense fallback={<Loading what="the viewer" />}>
            <ReviewViewer
              caseId={review.case_id}
              projectId={review.project_id}
              labels={shown}
              showModel={model}
              mode={mode}
              goTo={goTo}
              onCrosshair={point}
            />
          </Suspense>
        </section>
        <aside className="verdict" aria-label="Labels and decision">
          <div className="cards stack" tabIndex={0} role="group" aria-label="Labels">
            {labels.map((one, at) => (
              <LabelCard
                key={one.label_version_id}
                label={one}
                at={at}
                color={colorOf(at)}
                chosen={one === label}
                accepted={one.label_version_id === review.approved_label}
                segments={segments.data?.segments ?? []}
                onChoose={() => setChosen(at)}
                onGo={(index) => setGoTo([...index])}
              />
            ))}
            {labels.length === 0 && <p className="muted">No label of this review is there yet.</p>}
            <section className="panel" aria-label="Model">
              <header>
                <h2>Model</h2>
                <ResearchUse />
              </header>
              <dl className="body facts">
                {labels.map((one, at) => (
                  <div key={one.label_version_id} style={{ display: "contents" }}>
                    <dt>Mean Dice with {titleOf(one, at)}</dt>
                    <dd>{dice(meanModelDice(one))}</dd>
                  </div>
                ))}
              </dl>
            </section>
          </div>
          <div className="decide stack">
            {problem && !returning && <ProblemNotice problem={problem} />}
            {review.state === "checking" && <p className="muted">The checks look at the newest label; decide when they are done.</p>}
            {can.accept || review.state === "checking" ? (
              <>
                <button type="button" className="button primary" disabled={!ready || !can.accept} onClick={() => void accept()}>
                  Accept {title} <kbd>A</kbd>
                </button>
                <div className="row even">
                  <button type="button" className="button danger" disabled={!ready || !can.sendBack} onClick={() => setReturning(true)}>
                    Return … <kbd>X</kbd>
                  </button>
                  <button type="button" className="button" disabled={busy || !can.sendBack || !may.oversee} onClick={() => void adjudicate()}>
                    Adjudicate <kbd>D</kbd>
                  </button>
                </div>
                {!may.decide && <p className="muted">Reviewers and project leads decide; you may look.</p>}
              </>
            ) : (
              <>
                <p>This review is {reviewStateWords(review.state)}; nothing is left to decide.</p>
                {may.nameGold && review.state === "approved" && <GoldChoice review={review} />}
                <button type="button" className="button primary" onClick={() => void another(1)}>
                  Next review <kbd>N</kbd>
                </button>
              </>
            )}
          </div>
        </aside>
      </div>
      {returning && label && (
        <ReturnDialog
          title={title}
          crosshair={crosshair}
          busy={busy}
          problem={problem}
          onClose={() => {
            setReturning(false);
            setProblem(null);
          }}
          onReturn={(what) => void sendBack(what)}
        />
      )}
      {advice && <NoAdjudication review={review} onClose={() => setAdvice(false)} />}
    </>
  );
}

function NoAdjudication({ review, onClose }: { review: Review; onClose(): void }) {
  return (
    <Dialog title="No adjudication waits for this case" onClose={onClose}>
      <div className="stack">
        {review.state === "awaiting-adjudication" ? (
          <p>QA has asked for one; its task appears in the worklist in a moment. Try again then.</p>
        ) : (
          <p>An adjudication is asked for by QA itself, when two readers differ for the first time.</p>
        )}
        <p>Here you can accept the better label, or return one with a comment; its reader corrects it, and the case comes back.</p>
      </div>
    </Dialog>
  );
}
