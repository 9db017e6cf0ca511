import { readFileSync } from "node:fs";
import { Validator } from "@seriousme/openapi-schema-validator";
import { beforeAll, describe, expect, it } from "vitest";
import { generateDocs, staleDocs } from "../../scripts/docs.ts";
import { ErrorCode, httpStatus } from "../errors.ts";
import { personBuckets, publicBuckets } from "../limits.ts";
import { bytes, commonErrors } from "./endpoint.ts";
import { endpoints } from "./index.ts";

interface Operation {
  operationId: string;
  security: Record<string, []>[];
  parameters: { name?: string; in?: string }[];
  requestBody?: { content?: object };
  responses: Record<string, { $ref?: string; content?: object }>;
  "x-buckets"?: string[];
}
interface Document {
  paths: Record<string, Record<string, Operation>>;
  components: { responses: Record<string, object>; securitySchemes: Record<string, object> };
}

const { "docs/openapi.yaml": yaml = "", "docs/http.md": page = "" } = generateDocs();
let document: Document;

const pathOf = (path: string) => path.replace(/:(\w+)/g, "{$1}");
const operationOf = ({ path, method }: { path: string; method: string }) => document.paths[pathOf(path)]?.[method];
const mediaOf = (described?: { content?: object }) => Object.keys(described?.content ?? {})[0];
const mediaTypeOf = (schema: unknown) => (schema === bytes ? "application/octet-stream" : "application/json");

describe("the OpenAPI document", () => {
  beforeAll(async () => {
    const validator = new Validator();
    expect(await validator.validate(yaml)).toEqual({ valid: true });
    document = validator.specification as unknown as Document;
  });

  it("and its page are up to date: npm run docs", () => {
    expect(staleDocs()).not.toContain("docs/openapi.yaml");
    expect(staleDocs()).not.toContain("docs/http.md");
  });

  it("refers to nothing that is not there", () => {
    const references = [...yaml.matchAll(/\$ref: "#\/([^"]+)"/g)].map(([, path = ""]) => path);
    expect(references.length).toBeGreaterThan(endpoints.length);
    expect(references.filter((path) => resolve(path) === undefined)).toEqual([]);
  });

  it("has every endpoint and the upgrade, and nothing else", () => {
    const ids = Object.values(document.paths).flatMap((methods) => Object.values(methods).map((o) => o.operationId));
    expect(ids.toSorted()).toEqual([...endpoints.map(({ name }) => name), "connect"].toSorted());
    expect(new Set(ids).size).toBe(ids.length);
  });

  it.each(endpoints)("says of $name what the gateway does", (endpoint) => {
    const operation = operationOf(endpoint);
    expect(operation?.operationId).toBe(endpoint.name);
    const inPath = operation?.parameters.filter((parameter) => parameter.in === "path").map(({ name }) => name);
    expect(inPath).toEqual([...endpoint.path.matchAll(/:(\w+)/g)].map(([, name]) => name));
    expect(mediaOf(operation?.requestBody)).toEqual(endpoint.body && mediaTypeOf(endpoint.body));
    const answered = endpoint.media ?? (endpoint.answer && mediaTypeOf(endpoint.answer));
    expect(mediaOf(operation?.responses[answered ? "200" : "204"])).toEqual(answered);
    const schemes = operation?.security.flatMap((scheme) => Object.keys(scheme));
    if (endpoint.access !== "anyone") expect(schemes).toEqual([`${endpoint.access}Token`]);
    for (const scheme of schemes ?? []) expect(document.components.securitySchemes).toHaveProperty(scheme);
    if (endpoint.bucket) expect(operation?.["x-buckets"]).toContain(endpoint.bucket);
  });

  it.each(endpoints)("has every error of $name under its status", (endpoint) => {
    const codes: ErrorCode[] = [...commonErrors.filter((code) => code !== "method_not_allowed"), ...endpoint.errors];
    if (endpoint.access !== "anyone") codes.push("unauthenticated");
    if (endpoint.bucket) codes.push("rate_limited");
    for (const code of codes) {
      const name = operationOf(endpoint)?.responses[httpStatus[code]]?.$ref?.split("/").at(-1) ?? "";
      expect(JSON.stringify(document.components.responses[name]), code).toContain(`"${code}"`);
    }
  });

  it("calls the session's cookie by its name", () => {
    const { name } = document.components.securitySchemes.refreshCookie as { name: string };
    const source = readFileSync("workers/gateway/session/refresh-cookie.ts", "utf8");
    expect(source).toContain(`"${name.replace("__Secure-", "")}"`);
  });

  it("names every bucket where it stands in the way", () => {
    const operations = Object.values(document.paths).flatMap((methods) => Object.values(methods));
    const used = new Set(operations.flatMap((operation) => operation["x-buckets"] ?? []));
    // Stands in the way of `send`, on the socket.
    used.add("first_contact");
    expect([...used].toSorted()).toEqual(Object.keys({ ...publicBuckets, ...personBuckets }).toSorted());
  });
});

describe("the page about HTTP", () => {
  it("has a chapter for every endpoint, a row for every code and every bucket", () => {
    for (const { name, method, path } of endpoints) {
      expect(page).toContain(`### \`${name}\`\n\n\`${method.toUpperCase()} ${path}\`\n`);
    }
    for (const code of ErrorCode.options) expect(page).toContain(`| \`${code}\` | ${httpStatus[code]} |`);
    for (const bucket of Object.keys({ ...publicBuckets, ...personBuckets }))
      expect(page).toContain(`| \`${bucket}\` |`);
  });
});

/** By a JSON pointer without its "#/" (RFC 6901). */
function resolve(pointer: string): unknown {
  const steps = pointer.split("/").map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
  return steps.reduce<unknown>((value, step) => (value as Record<string, unknown> | undefined)?.[step], document);
}
