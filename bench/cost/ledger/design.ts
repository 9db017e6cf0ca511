/** What the ledger needs of a design, ours or the straightforward one: the same traffic drives both. */
export interface Design {
  readonly name: string;
  signUp(): Promise<Participant>;
  /** When the next alarm goes off; looking costs nothing. */
  nextAlarmAt(): Promise<number | undefined>;
  /** Runs the alarms whose time has come, as the platform would. */
  runAlarms(): Promise<void>;
  /** Puts every object to sleep, sockets attached, as the platform does after ten idle seconds. */
  hibernate(): Promise<void>;
}

/** A person with one device. */
export interface Participant {
  readonly user: string;
  connect(): Promise<void>;
  leave(): Promise<void>;
  /** Resolves when the message has its ✓. */
  send(to: Participant): Promise<void>;
  /** Whether what arrives is read at once, for the chat is open, or only delivered. */
  setChatOpen(open: boolean): void;
  /** Reads everything received so far from this person. */
  read(from: Participant): Promise<void>;
  /** Messages received so far, over all chats. */
  readonly received: number;
  /** Highest places known to be delivered to and read by this person's peer: ✓✓ and blue. */
  ticks(peer: Participant): { delivered: number; read: number };
}
