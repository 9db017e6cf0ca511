import * as v from "valibot";
import type { ErrorCode } from "../errors.ts";
import type { PersonBucket } from "../limits.ts";

type Schema = v.GenericSchema;
type NoSchema = undefined;

/** In the place of a schema: a body or an answer that is no JSON but bytes (application/octet-stream). */
export const bytes = v.custom<Uint8Array<ArrayBuffer>>((value) => value instanceof Uint8Array);

/**
 * One thing that can be asked over HTTP. The gateway validates with it, the SDK calls by it, and the OpenAPI document is
 * written from it: what is not said here does not exist. Nothing is ever asked in a query string: URLs end up in logs.
 */
export interface Endpoint<
  Params extends Schema | NoSchema = Schema | NoSchema,
  Body extends Schema | NoSchema = Schema | NoSchema,
  Answer extends Schema | NoSchema = Schema | NoSchema,
  Access extends "anyone" | "device" | "link" = "anyone" | "device" | "link",
> {
  /** Stable; names the operation in OpenAPI. */
  readonly name: string;
  readonly tag:
    | "sign-in"
    | "session"
    | "devices"
    | "people"
    | "encryption"
    | "archives"
    | "rights"
    | "connection"
    | "service";
  readonly method: "get" | "post" | "put" | "patch" | "delete";
  /** Parameters as `:name`. */
  readonly path: string;
  readonly summary: string;
  /** Whose bearer token it asks for: a person's device, a device that is being linked, or none. */
  readonly access: Access;
  /** Of the calling person; every endpoint with access "device" names one, unless the device is checked elsewhere. */
  readonly bucket?: PersonBucket;
  readonly params?: Params;
  /** JSON, always an object; or {@link bytes}. */
  readonly body?: Body;
  /** Of the body, where it may be larger than a frame. */
  readonly maxBytes?: number;
  /** JSON, or {@link bytes}; without a schema the answer is 204, or of the type that `media` names. */
  readonly answer?: Answer;
  readonly media?: "application/zip";
  /** Beside those that every endpoint may answer: {@link commonErrors}. */
  readonly errors: readonly ErrorCode[];
}

/** Any endpoint may answer these; with access also `unauthenticated`, with a bucket also `rate_limited`. */
export const commonErrors = [
  "bad_frame",
  "too_large",
  "forbidden_origin",
  "method_not_allowed",
  "unavailable",
] as const satisfies readonly ErrorCode[];

export function endpoint<
  const Params extends Schema | NoSchema = NoSchema,
  const Body extends Schema | NoSchema = NoSchema,
  const Answer extends Schema | NoSchema = NoSchema,
  const Access extends Endpoint["access"] = Endpoint["access"],
>(description: Endpoint<Params, Body, Answer, Access>): Endpoint<Params, Body, Answer, Access> {
  return description;
}

type Output<S> = S extends Schema ? v.InferOutput<S> : undefined;
type Input<S> = S extends Schema ? v.InferInput<S> : undefined;
export type ParamsOf<E> = E extends Endpoint<infer P, infer _B, infer _A> ? Output<P> : never;
/** As the gateway has it after decoding. */
export type BodyOf<E> = E extends Endpoint<infer _P, infer B, infer _A> ? Output<B> : never;
/** As a client gives it. */
export type BodyInputOf<E> = E extends Endpoint<infer _P, infer B, infer _A> ? Input<B> : never;
export type AnswerOf<E> = E extends Endpoint<infer _P, infer _B, infer A> ? Output<A> : never;
