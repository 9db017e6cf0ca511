import { type PassedError, passError } from "./passed-error.ts";

/** What the leader does for all tabs. Arguments, answers and events travel by structured cloning. */
export interface Served {
  /**
   * @param id of the request. If a leader ends before it has answered, the next one gets the request again, under the same
   * id: whatever must happen once only keeps the id in the same write as its effect, and looks there first.
   */
  call(method: string, args: unknown, id: string): Promise<unknown>;
  /** Finishes or gives up what is under way: when it is fulfilled, nothing is done any more and somebody else may lead. */
  stop(): Promise<void>;
}

export interface Request {
  readonly id: string;
  readonly method: string;
  readonly args: unknown;
}

export type Answer =
  | { readonly type: "answer"; readonly id: string; readonly value: unknown }
  | { readonly type: "refusal"; readonly id: string; readonly error: PassedError };

/** The time for which a tab leads. */
export class Reign {
  readonly id: string;
  readonly #served: Served;
  readonly #underWay = new Set<Promise<void>>();
  #isEnding = false;
  #isOver = false;

  constructor(id: string, served: Served) {
    this.id = id;
    this.#served = served;
  }

  /** Answers, unless the reign ends before: then it is for the next leader to answer. */
  serve(request: Request, reply: (answer: Answer) => void): void {
    if (this.#isEnding) return;
    const served = this.#answer(request).then((answer) => {
      if (answer && !this.#isOver) reply(answer);
      this.#underWay.delete(served);
    });
    this.#underWay.add(served);
  }

  /** What has been done by then is answered; a call that is settled no more is left to the next leader. */
  async end(): Promise<void> {
    this.#isEnding = true;
    await this.#served.stop();
    const aTurn = new Promise((resolve) => setTimeout(resolve));
    await Promise.race([Promise.all(this.#underWay), aTurn]);
    this.#isOver = true;
  }

  async #answer({ id, method, args }: Request): Promise<Answer | undefined> {
    try {
      // So that an answer is the same in this tab as in the others, or as impossible.
      return { type: "answer", id, value: structuredClone(await this.#served.call(method, args, id)) };
    } catch (error) {
      // Of a leader that is stopping, a failure says nothing about the request.
      return this.#isEnding ? undefined : { type: "refusal", id, error: passError(error) };
    }
  }
}
