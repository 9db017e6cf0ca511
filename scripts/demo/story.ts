import type { CodeReader } from "../codes.ts";
import type { Device, Outgoing } from "./device.ts";
import { findFriends, linkDevice, signUp } from "./entering.ts";
import { killWhileOffline } from "./killed-while-offline.ts";
import { breathe, type Cast, expect, phoneNumbers, until } from "./stage.ts";
import type { Terminal } from "./terminal.ts";

export interface StepTiming {
  readonly title: string;
  readonly ms: number;
}

/** Conversations for which a push to the device has been handed to its provider, as far as one can see from here. */
export type PushObserver = (device: string) => Promise<number>;

/** What can be seen of a system from beside it. */
export interface Behind {
  readonly codeFor: CodeReader;
  /** Absent where nobody can see them. */
  readonly pushes?: PushObserver;
}

/** What happens to two people, three devices and a friend. Each step throws if something does not come. */
export class Story {
  readonly timings: StepTiming[] = [];
  readonly #cast: Cast;
  readonly #terminal: Terminal;
  readonly #behind: Behind;

  constructor(cast: Cast, terminal: Terminal, behind: Behind) {
    this.#cast = cast;
    this.#terminal = terminal;
    this.#behind = behind;
  }

  async tell(): Promise<void> {
    await this.#step("Three people sign up and find each other", () => this.#signUp());
    await this.#step("Ada links her laptop", () => this.#link());
    await this.#step("Everybody connects", () => this.#connect());
    await this.#step("A message and its ticks", () => this.#message());
    await this.#step("Typing, and an answer on two devices", () => this.#answer());
    await this.#step("Grace falls asleep and misses messages in two chats", () => this.#fallAsleep());
    await this.#step("Grace wakes up and catches up", () => this.#wakeUp());
    await this.#step("Ada’s laptop is killed with an unsent message", () => this.#killLaptop());
    await this.#step("Ada’s laptop starts again from its store", () => this.#restartLaptop());
  }

  async #signUp(): Promise<void> {
    const { adasPhone, gracesPhone, joansPhone } = this.#cast;
    const phones = [adasPhone, gracesPhone, joansPhone];
    const numbers = phoneNumbers(phones.length);
    for (const [index, number] of numbers.entries())
      await signUp(phones[index] as Device, number, this.#behind.codeFor);
    for (const [index, phone] of phones.entries()) await findFriends(phone, numbers.toSpliced(index, 1));
  }

  async #link(): Promise<void> {
    const { adasPhone, adasLaptop } = this.#cast;
    await linkDevice(adasLaptop, adasPhone);
    const devices = await adasPhone.account.devices.list();
    expect("Ada has two devices", devices.length === 2);
  }

  async #connect(): Promise<void> {
    for (const device of Object.values(this.#cast)) {
      await device.connect();
      device.tell("is online");
    }
    const { adasPhone } = this.#cast;
    await until("Ada’s phone says that the laptop was added", () => adasPhone.alerts.length === 1);
  }

  async #message(): Promise<void> {
    const { adasPhone, adasLaptop, gracesPhone } = this.#cast;
    const message = await adasPhone.write(gracesPhone, "Did the engine run?");
    await delivered(message);
    await has(adasLaptop, message);
    await breathe();
    await gracesPhone.readAll(adasPhone);
    await read(message);
  }

  async #answer(): Promise<void> {
    const { adasPhone, adasLaptop, gracesPhone } = this.#cast;
    gracesPhone.type(adasPhone);
    for (const device of [adasPhone, adasLaptop]) {
      await until(`${device.name} shows that Grace is typing`, () => device.isShownTyping(gracesPhone));
    }
    await breathe();
    const answer = await gracesPhone.write(adasPhone, "All night. Zero errors.");
    await delivered(answer);
    for (const device of [adasPhone, adasLaptop]) await has(device, answer);
    await breathe();
    await adasLaptop.readAll(gracesPhone);
    await read(answer);
    await until("what is read on the laptop is read on the phone", async () => (await adasPhone.unread()) === 0);
    adasPhone.tell("shows nothing unread either");
  }

  async #fallAsleep(): Promise<void> {
    const { adasPhone, adasLaptop, gracesPhone, joansPhone } = this.#cast;
    gracesPhone.disconnect();
    gracesPhone.tell("is offline");
    await breathe();
    const missed = [
      await adasPhone.write(gracesPhone, "Then let us publish."),
      await joansPhone.write(gracesPhone, "Lunch at one?"),
      await adasLaptop.write(gracesPhone, "I have drafted the notes."),
      await joansPhone.write(gracesPhone, "Bring Ada!"),
      await adasPhone.write(gracesPhone, "Sleep well."),
    ];
    for (const message of missed) await sent(message);
    if (this.#behind.pushes) await this.#awaitPushes(this.#behind.pushes);
    await breathe();
    expect(
      "a message to a sleeping phone is not ✓✓",
      missed.every(({ deliveredMs }) => deliveredMs === undefined),
    );
    this.#terminal.explain("Five messages are ✓. None is ✓✓: Grace does not have them.");
  }

  /** Five messages, but one push a chat. */
  async #awaitPushes(pushes: PushObserver): Promise<void> {
    const { gracesPhone } = this.#cast;
    const { device } = gracesPhone.account;
    await until("a push to Grace’s phone for each of the two chats", async () => (await pushes(device)) === 2);
    gracesPhone.tell("is sent a push for each of the two chats (the server’s log says so)");
  }

  async #wakeUp(): Promise<void> {
    const { adasPhone, adasLaptop, gracesPhone, joansPhone } = this.#cast;
    const before = gracesPhone.received.length;
    await gracesPhone.connect();
    gracesPhone.tell("has caught up");
    expect("Grace has all five, once", gracesPhone.received.length - before === 5);
    const missed = [adasPhone, adasLaptop, joansPhone].flatMap(({ outgoing }) => outgoing);
    for (const message of missed) await delivered(message);
    await breathe();
    await gracesPhone.readAll(adasPhone);
    await gracesPhone.readAll(joansPhone);
    for (const message of missed) await read(message);
  }

  async #killLaptop(): Promise<void> {
    const { adasLaptop, gracesPhone } = this.#cast;
    await adasLaptop.close();
    await killWhileOffline(adasLaptop, gracesPhone, "Written on the train.");
  }

  async #restartLaptop(): Promise<void> {
    const { adasPhone, adasLaptop, gracesPhone } = this.#cast;
    await adasLaptop.open();
    const unsent = (await adasLaptop.stored()).filter(({ status }) => status === "pending");
    expect("one message is in the outbox", unsent.length === 1);
    const [message] = unsent.map((pending) => adasLaptop.adopt(pending));
    if (!message) return;
    await breathe();
    await adasLaptop.connect();
    await delivered(message);
    for (const device of [adasPhone, gracesPhone]) await has(device, message);
    await breathe();
    await gracesPhone.readAll(adasLaptop);
    await read(message);
  }

  async #step(title: string, play: () => Promise<void>): Promise<void> {
    this.#terminal.step(this.timings.length + 1, title);
    const began = performance.now();
    try {
      await play();
    } finally {
      this.timings.push({ title, ms: Math.round(performance.now() - began) });
    }
    await breathe();
  }
}

function sent(message: Outgoing): Promise<void> {
  return until(`✓ of “${message.text}”`, () => message.sentMs !== undefined);
}

function delivered(message: Outgoing): Promise<void> {
  return until(`✓✓ of “${message.text}”`, () => message.deliveredMs !== undefined);
}

function read(message: Outgoing): Promise<void> {
  return until(`the read tick of “${message.text}”`, () => message.readMs !== undefined);
}

function has(device: Device, message: Outgoing): Promise<void> {
  return until(`“${message.text}” on ${device.name}`, () => device.received.some(({ id }) => id === message.id));
}
