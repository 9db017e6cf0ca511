import * as v from "valibot";
import { endpoint } from "./endpoint.ts";

export const health = endpoint({
  name: "health",
  tag: "service",
  method: "get",
  path: "/health",
  summary: "Whether the service answers.",
  access: "anyone",
  answer: v.object({ ok: v.literal(true), protocol: v.string(), environment: v.string() }),
  errors: [],
});

export const keySet = endpoint({
  name: "keySet",
  tag: "service",
  method: "get",
  path: "/.well-known/jwks.json",
  summary: "The public keys: those that tokens and receipts are signed with, and the one that reports are sealed for.",
  access: "anyone",
  answer: v.object({ keys: v.array(v.record(v.string(), v.unknown())) }),
  errors: [],
});
