import { styleText } from "node:util";

type Style = Parameters<typeof styleText>[0];

const ACTOR_WIDTH = 13;
const TIME_WIDTH = 9;

/** Tells the story line by line: when, on which device, what. */
export class Terminal {
  readonly #write: (line: string) => void;
  readonly #isColourful: boolean;
  #stepBegan = performance.now();

  constructor(write: (line: string) => void, isColourful: boolean) {
    this.#write = write;
    this.#isColourful = isColourful;
  }

  line(text = ""): void {
    this.#write(text);
  }

  step(number: number, title: string): void {
    this.#stepBegan = performance.now();
    this.line(`\n${this.paint("bold", `${number}  ${title}`)}`);
  }

  /** Between the events: what they mean. */
  explain(text: string): void {
    this.line(`${" ".repeat(TIME_WIDTH + 2)}${this.paint("dim", text)}`);
  }

  event(actor: string, text: string): void {
    const elapsed = `${Math.round(performance.now() - this.#stepBegan)} ms`.padStart(TIME_WIDTH);
    this.line(`${this.paint("dim", elapsed)}  ${actor.padEnd(ACTOR_WIDTH)}  ${text}`);
  }

  paint(style: Style, text: string): string {
    return this.#isColourful ? styleText(style, text, { validateStream: false }) : text;
  }
}

/** Only where a person looks, and only if they did not ask for none (no-color.org). */
export function isColourful(stream: NodeJS.WriteStream, environment: NodeJS.ProcessEnv): boolean {
  return stream.isTTY === true && !environment.NO_COLOR && environment.TERM !== "dumb";
}
