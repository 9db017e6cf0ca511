import * as v from "valibot";
import { Time } from "../ids.ts";
import {
  ARCHIVE_CHUNK_BYTES,
  ARCHIVE_TAG_BYTES,
  MAX_ARCHIVE_CHUNKS,
  MAX_ARCHIVE_MANIFEST_BYTES,
  MAX_BACKUP_ENVELOPE_BYTES,
} from "../limits.ts";
import { bytes, endpoint } from "./endpoint.ts";

/** What the server keeps of a person's history and cannot read (docs/protocol.md §11). All of it is its owner's alone. */

/** 16 random bytes, base64url. */
export const ArchiveId = v.pipe(v.string(), v.regex(/^[\w-]{21}[AQgw]$/));
export type ArchiveId = v.InferOutput<typeof ArchiveId>;

const oneArchive = v.object({ archive: ArchiveId });
const oneChunk = v.object({
  archive: ArchiveId,
  /** 0 is the first. */
  number: v.pipe(
    v.union([v.number(), v.pipe(v.string(), v.regex(/^(?:0|[1-9]\d{0,5})$/))]),
    v.transform(Number),
    v.safeInteger(),
    v.minValue(0),
    v.maxValue(MAX_ARCHIVE_CHUNKS - 1),
  ),
});

const asked = { tag: "archives", access: "device", bucket: "archive" } as const;

export const beginArchive = endpoint({
  ...asked,
  name: "beginArchive",
  method: "put",
  path: "/v1/archives/:archive",
  summary: "Makes room for an archive, or more room for one that was begun. What no backup names goes after a week.",
  params: oneArchive,
  body: v.object({
    /** So many it may have; room that was made before is not taken back. */
    chunks: v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.maxValue(MAX_ARCHIVE_CHUNKS)),
  }),
  errors: ["too_many", "busy"],
});

export const putArchiveChunk = endpoint({
  ...asked,
  name: "putArchiveChunk",
  method: "put",
  path: "/v1/archives/:archive/chunks/:number",
  summary: "One chunk of an archive that was begun; in place of the one that is there, if there is one.",
  params: oneChunk,
  body: bytes,
  maxBytes: ARCHIVE_CHUNK_BYTES + ARCHIVE_TAG_BYTES,
  errors: ["not_found", "too_many"],
});

export const getArchiveChunk = endpoint({
  ...asked,
  name: "getArchiveChunk",
  method: "get",
  path: "/v1/archives/:archive/chunks/:number",
  summary: "One chunk, as it was put.",
  params: oneChunk,
  answer: bytes,
  errors: ["not_found"],
});

export const listArchiveChunks = endpoint({
  ...asked,
  name: "listArchiveChunks",
  method: "get",
  path: "/v1/archives/:archive/chunks",
  summary: "Which chunks are there, and whether the manifest is.",
  params: oneArchive,
  answer: v.object({
    /** Rising. */
    chunks: v.array(v.number()),
    isComplete: v.boolean(),
  }),
  errors: ["not_found"],
});

export const putArchiveManifest = endpoint({
  ...asked,
  name: "putArchiveManifest",
  method: "put",
  path: "/v1/archives/:archive/manifest",
  summary: "What completes an archive: its owner's word about all of its chunks.",
  params: oneArchive,
  body: bytes,
  maxBytes: MAX_ARCHIVE_MANIFEST_BYTES,
  errors: ["not_found"],
});

export const getArchiveManifest = endpoint({
  ...asked,
  name: "getArchiveManifest",
  method: "get",
  path: "/v1/archives/:archive/manifest",
  summary: "The manifest, as it was put.",
  params: oneArchive,
  answer: bytes,
  errors: ["not_found"],
});

export const removeArchive = endpoint({
  ...asked,
  name: "removeArchive",
  method: "delete",
  path: "/v1/archives/:archive",
  summary: "Removes an archive that is not the backup's.",
  params: oneArchive,
  errors: ["not_found", "not_allowed", "busy"],
});

/** Tells archive keys apart and gives none away; 16 bytes, base64url. */
const KeyId = v.pipe(v.string(), v.regex(/^[\w-]{21}[AQgw]$/));
const Envelope = v.pipe(v.string(), v.regex(/^[\w-]+$/), v.maxLength(Math.ceil((MAX_BACKUP_ENVELOPE_BYTES * 4) / 3)));

export const setBackup = endpoint({
  ...asked,
  name: "setBackup",
  method: "put",
  path: "/v1/backup",
  summary: "Says which complete archive is the backup and what opens it. The archive that was it before is removed.",
  body: v.object({
    keyId: KeyId,
    /** Absent: the one that is there stays. */
    archive: v.optional(ArchiveId),
    /** Sealed for its owner; base64url. Absent: the one that is there stays. */
    envelope: v.optional(Envelope),
  }),
  /** `taken`: the backup that is there has another key, and would not fit what it is given. */
  errors: ["not_found", "taken", "busy"],
});

export const viewBackup = endpoint({
  ...asked,
  name: "viewBackup",
  method: "get",
  path: "/v1/backup",
  summary: "The backup, for a device that restores it.",
  answer: v.object({ archive: ArchiveId, keyId: KeyId, envelope: v.string(), updatedAt: Time }),
  errors: ["not_found"],
});

export const removeBackup = endpoint({
  ...asked,
  name: "removeBackup",
  method: "delete",
  path: "/v1/backup",
  summary: "Removes the backup with its archive.",
  errors: ["not_found", "busy"],
});
