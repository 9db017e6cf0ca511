import type { Env } from "../../../durable-objects/runtime/env.ts";
import type { ArchiveId } from "../../../shared/api/archives.ts";
import { Refusal } from "../../../shared/errors.ts";
import type { UserId } from "../../../shared/ids.ts";
import {
  ARCHIVE_CHUNK_BYTES,
  MAX_ARCHIVE_BYTES_PER_USER,
  MAX_ARCHIVES_PER_USER,
  MAX_DIRECTORY_TRIES,
  TEMPORARY_ARCHIVE_TTL_MS,
} from "../../../shared/limits.ts";
import { directoryFile, writeFile } from "./files.ts";

/** Which archives a person has, and which of them is the backup. What a quota needs to know stands here and nowhere else. */
export interface Directory {
  readonly archives: readonly ArchiveEntry[];
  readonly backup?: Backup;
}

export interface ArchiveEntry {
  readonly archive: ArchiveId;
  /** When room was last made for it, ms since 1970. */
  readonly at: number;
  /** It has room for so many. */
  readonly chunks: number;
}

export interface Backup {
  readonly archive: ArchiveId;
  readonly keyId: string;
  readonly envelope: string;
  readonly updatedAt: number;
}

const empty: Directory = { archives: [] };

export async function readDirectory(env: Pick<Env, "MEDIA">, user: UserId): Promise<Directory> {
  const file = await env.MEDIA.get(directoryFile(user));
  return file ? await file.json<Directory>() : empty;
}

/**
 * One change after the other, whoever makes them: each is written only over the version that it was made from.
 * @param change throws what the caller is refused with
 * @throws Refusal busy
 */
export async function changeDirectory(
  env: Env,
  user: UserId,
  change: (directory: Directory) => Directory,
): Promise<void> {
  for (let attempt = 0; attempt < MAX_DIRECTORY_TRIES; attempt++) {
    const file = await env.MEDIA.get(directoryFile(user));
    const changed = change(file ? await file.json<Directory>() : empty);
    const onlyIf = file ? { etagMatches: file.etag } : new Headers({ "if-none-match": "*" });
    if (await writeFile(env, user, directoryFile(user), JSON.stringify(changed), onlyIf)) return;
  }
  throw new Refusal("busy");
}

/** @throws Refusal not_found, if it was not begun or its time is over */
export function findArchive({ archives }: Directory, archive: ArchiveId): ArchiveEntry {
  const found = archives.find((entry) => entry.archive === archive);
  if (!found) throw new Refusal("not_found");
  return found;
}

/** @throws Refusal too_many */
export function withRoom(directory: Directory, archive: ArchiveId, chunks: number, now: number): Directory {
  const others = directory.archives.filter((entry) => entry.archive !== archive && isKept(directory, entry, now));
  const known = directory.archives.find((entry) => entry.archive === archive);
  const archives = [...others, { archive, at: now, chunks: Math.max(chunks, known?.chunks ?? 0) }];
  const room = archives.reduce((sum, entry) => sum + entry.chunks, 0) * ARCHIVE_CHUNK_BYTES;
  if (archives.length > MAX_ARCHIVES_PER_USER || room > MAX_ARCHIVE_BYTES_PER_USER) throw new Refusal("too_many");
  return { ...directory, archives };
}

/** The archive of the backup that this one replaces is not needed any more. */
export function withBackup({ archives, backup: before }: Directory, backup: Backup): Directory {
  const isNeeded = ({ archive }: ArchiveEntry) => archive !== before?.archive || archive === backup.archive;
  return { archives: archives.filter(isNeeded), backup };
}

export function withoutArchive({ archives, backup }: Directory, archive: ArchiveId): Directory {
  const left = archives.filter((entry) => entry.archive !== archive);
  return backup && backup.archive !== archive ? { archives: left, backup } : { archives: left };
}

function isKept({ backup }: Directory, { archive, at }: ArchiveEntry, now: number): boolean {
  return archive === backup?.archive || now - at < TEMPORARY_ARCHIVE_TTL_MS;
}
