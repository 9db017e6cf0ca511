import type { Env } from "../../../durable-objects/runtime/env.ts";
import { errorFields, log } from "../../../durable-objects/runtime/log.ts";
import { removeFiles } from "../../../durable-objects/runtime/removal.ts";
import type * as api from "../../../shared/api/archives.ts";
import { Refusal } from "../../../shared/errors.ts";
import type { UserId } from "../../../shared/ids.ts";
import type { Serve } from "../serve.ts";
import { changeDirectory, findArchive, readDirectory, withoutArchive, withRoom } from "./directory.ts";
import { archiveFolder, archivesFolder, chunkFile, manifestFile, readFile, writeFile } from "./files.ts";

export const beginArchive: Serve<typeof api.beginArchive> = async ({ c, caller: { user }, params, body }) => {
  await changeDirectory(c.env, user, (directory) => withRoom(directory, params.archive, body.chunks, Date.now()));
  c.executionCtx.waitUntil(sweep(c.env, user));
};

export const putArchiveChunk: Serve<typeof api.putArchiveChunk> = async ({ c, caller: { user }, params, body }) => {
  const { archive, number } = params;
  const { chunks } = findArchive(await readDirectory(c.env, user), archive);
  if (number >= chunks) throw new Refusal("too_many");
  await writeFile(c.env, user, chunkFile(user, archive, number), body);
};

export const getArchiveChunk: Serve<typeof api.getArchiveChunk> = ({ c, caller: { user }, params }) =>
  readFile(c.env, chunkFile(user, params.archive, params.number));

export const listArchiveChunks: Serve<typeof api.listArchiveChunks> = async ({ c, caller: { user }, params }) => {
  const { archive } = params;
  findArchive(await readDirectory(c.env, user), archive);
  const prefix = archiveFolder(user, archive);
  const names: string[] = [];
  let page: R2Objects | undefined;
  do {
    page = await c.env.MEDIA.list({ prefix, ...(page?.truncated && { cursor: page.cursor }) });
    names.push(...page.objects.map(({ key }) => key.slice(prefix.length)));
  } while (page.truncated);
  const chunks = names.filter((name) => /^\d+$/.test(name)).map(Number);
  return { chunks, isComplete: names.includes("manifest") };
};

export const putArchiveManifest: Serve<typeof api.putArchiveManifest> = async ({ c, caller, params, body }) => {
  const { user } = caller;
  findArchive(await readDirectory(c.env, user), params.archive);
  await writeFile(c.env, user, manifestFile(user, params.archive), body);
};

export const getArchiveManifest: Serve<typeof api.getArchiveManifest> = ({ c, caller: { user }, params }) =>
  readFile(c.env, manifestFile(user, params.archive));

export const removeArchive: Serve<typeof api.removeArchive> = async ({ c, caller: { user }, params }) => {
  const { archive } = params;
  await changeDirectory(c.env, user, (directory) => {
    findArchive(directory, archive);
    if (directory.backup?.archive === archive) throw new Refusal("not_allowed");
    return withoutArchive(directory, archive);
  });
  c.executionCtx.waitUntil(sweep(c.env, user));
};

/**
 * Removes the files of all archives that the directory does not name, whatever an earlier removal has left of them too. The
 * directory is read last: an archive stands in it before it has its first file.
 */
export async function sweep(env: Env, user: UserId): Promise<void> {
  try {
    const { delimitedPrefixes } = await env.MEDIA.list({ prefix: archivesFolder(user), delimiter: "/" });
    const { archives } = await readDirectory(env, user);
    const named = new Set(archives.map(({ archive }) => archiveFolder(user, archive)));
    for (const folder of delimitedPrefixes) if (!named.has(folder)) await removeFiles(env.MEDIA, folder);
  } catch (error) {
    // The next archive that is begun tries again.
    log("warn", "archives.unswept", { user, ...errorFields(error) });
  }
}
