export type ContentErrorCode =
  /** The bytes make no sense, or a field is beyond its bounds. */
  | "malformed"
  | "too_large"
  /** Of a version that this client does not read yet. */
  | "unsupported";

/** What reading and writing of contents, envelopes and transcripts throws, and nothing else. */
export class ContentError extends Error {
  override readonly name = "ContentError";
  readonly code: ContentErrorCode;
  constructor(code: ContentErrorCode, options?: ErrorOptions) {
    super(code, options);
    this.code = code;
  }
}
