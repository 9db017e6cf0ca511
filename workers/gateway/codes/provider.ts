/** A way by which codes reach people. */
export interface CodeSender {
  /**
   * Resolves once the message is handed over; whether it arrives nobody knows.
   * @param phone "+" and digits (ITU-T E.164)
   * @throws CodeNotSent
   */
  send(phone: string, code: string): Promise<void>;
}

/**
 * The code went nowhere. The message tells whoever runs the system what to configure or what the provider's status was;
 * it holds neither number nor code, nor anything that a provider wrote.
 */
export class CodeNotSent extends Error {
  override readonly name = "CodeNotSent";
  /** What the provider answered; absent if it was not asked or did not answer. */
  readonly status: number | undefined;

  constructor(message: string, status?: number) {
    super(message);
    this.status = status;
  }
}
