import { type ConversionConfig, toJsonSchema, toJsonSchemaDefs } from "@valibot/to-json-schema";
import type * as v from "valibot";
import { ErrorCode, Retry } from "../../shared/errors.ts";
import { ConversationId, Cursor, Seq, Time, UserId } from "../../shared/ids.ts";
import { commentsOf } from "./comments.ts";
import type { JsonObject } from "./json.ts";

/** A person's, a device's and a message's id have one form, and so one schema. */
export const basicTypes = { Ulid: UserId, ConversationId, Seq, Cursor, Time, ErrorCode, Retry };

/** Those that JSON Schema has no word for: an order between halves of an id, what is trimmed or folded. The text says it. */
const wordless: ReadonlySet<string> = new Set(["check", "trim", "to_lower_case"]);

const conversion = {
  overrideRef: ({ referenceId }) => `#/components/schemas/${referenceId}`,
  overrideAction: ({ valibotAction, jsonSchema }) => (wordless.has(valibotAction.type) ? jsonSchema : undefined),
} satisfies ConversionConfig;

export interface Dialect extends Pick<ConversionConfig, "target" | "typeMode"> {
  /** Schemas that have a name of their own: they are referred to. */
  readonly definitions: Record<string, v.GenericSchema>;
}

export function jsonSchemaOf(schema: v.GenericSchema, dialect: Dialect): JsonObject {
  const { $schema: _, $defs: __, ...rest } = toJsonSchema(schema, { ...conversion, ...dialect });
  return rest as JsonObject;
}

/** With what the comments say of them, by name. */
export function namedSchemas({ definitions, ...dialect }: Dialect, comments: Comments): Record<string, JsonObject> {
  const schemas = Object.entries(toJsonSchemaDefs(definitions, { ...conversion, ...dialect }));
  return Object.fromEntries(
    schemas.map(([name, schema]) => {
      const description = comments[name];
      return [name, { ...(description && { description }), ...(schema as JsonObject) }];
    }),
  );
}

type Comments = Record<string, string>;

/** Of the basic types. */
export function basicComments(): Comments {
  const Ulid = "A ULID: 26 characters of Crockford's base 32, upper case; the first ten are a time in ms.";
  return { ...commentsOf("ids.ts"), ...commentsOf("errors.ts"), Ulid };
}
