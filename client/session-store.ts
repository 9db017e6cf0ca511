import type { DeviceId, UserId } from "../shared/ids.ts";

/** What a device keeps of its sign-in from one start to the next. */
export interface StoredSession {
  readonly user: UserId;
  readonly device: DeviceId;
  /** Absent where the browser keeps it in a cookie, and once the device was signed out. */
  readonly refreshToken?: string;
  /** Names a renewal whose answer is not stored yet: under its name it is given again. */
  readonly attempt?: string;
  /** The server ended the session; whoever signs in again gets the same device back, with its inbox. */
  readonly isSignedOut: boolean;
}

/**
 * Where a device keeps its session. The stores for messages are such places too; the platform's key chain may be a better
 * one. Whoever can read it can act as the device.
 */
export interface SessionStore {
  loadSession(): Promise<StoredSession | undefined>;
  /** Durable when the promise is fulfilled; undefined removes it. */
  saveSession(session: StoredSession | undefined): Promise<void>;
}
