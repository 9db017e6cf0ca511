import type { Env } from "../../../durable-objects/runtime/env.ts";
import type { ArchiveId } from "../../../shared/api/archives.ts";
import { Refusal } from "../../../shared/errors.ts";
import type { UserId } from "../../../shared/ids.ts";

/** Where a person's archives lie in R2: all of it goes with their account (durable-objects/runtime/removal.ts). */
export const directoryFile = (user: UserId): string => `user/${user}/archives`;
export const archivesFolder = (user: UserId): string => `user/${user}/archive/`;
export const archiveFolder = (user: UserId, archive: ArchiveId): string => `${archivesFolder(user)}${archive}/`;
export const manifestFile = (user: UserId, archive: ArchiveId): string => `${archiveFolder(user, archive)}manifest`;
/** Names in the order of the numbers: R2 lists them so. */
export const chunkFile = (user: UserId, archive: ArchiveId, number: number): string =>
  `${archiveFolder(user, archive)}${String(number).padStart(5, "0")}`;

/**
 * Writes one of a person's files. Their account may be removed meanwhile: who is still registered after the write will have
 * it removed with the others; of anybody else nothing may come to stay.
 * @returns null if the condition did not hold
 * @throws Refusal unauthenticated
 */
export async function writeFile(
  env: Env,
  user: UserId,
  file: string,
  value: Uint8Array<ArrayBuffer> | string,
  onlyIf: R2Conditional | Headers = {},
): Promise<R2Object | null> {
  const written = await env.MEDIA.put(file, value, { onlyIf });
  if (written && !(await env.USER.getByName(user).isRegistered())) {
    await env.MEDIA.delete(file);
    throw new Refusal("unauthenticated");
  }
  return written;
}

/** @throws Refusal not_found */
export async function readFile(env: Env, file: string): Promise<Uint8Array<ArrayBuffer>> {
  const found = await env.MEDIA.get(file);
  if (!found) throw new Refusal("not_found");
  return new Uint8Array(await found.arrayBuffer());
}
