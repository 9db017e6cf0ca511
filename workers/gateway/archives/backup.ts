import type * as api from "../../../shared/api/archives.ts";
import { Refusal } from "../../../shared/errors.ts";
import type { Serve } from "../serve.ts";
import { sweep } from "./archives.ts";
import { type Backup, changeDirectory, findArchive, readDirectory, withBackup, withoutArchive } from "./directory.ts";
import { manifestFile } from "./files.ts";

export const setBackup: Serve<typeof api.setBackup> = async ({ c, caller: { user }, body }) => {
  const { archive, envelope, keyId } = body;
  if (archive === undefined && envelope === undefined) throw new Refusal("bad_frame");
  if (archive !== undefined && !(await c.env.MEDIA.head(manifestFile(user, archive)))) throw new Refusal("not_found");
  await changeDirectory(c.env, user, (directory) => {
    const given = { ...(archive !== undefined && { archive }), ...(envelope !== undefined && { envelope }) };
    const backup = changed(directory.backup, { ...given, keyId, updatedAt: Date.now() });
    findArchive(directory, backup.archive);
    return withBackup(directory, backup);
  });
  c.executionCtx.waitUntil(sweep(c.env, user));
};

type Given = Pick<Backup, "keyId" | "updatedAt"> & Partial<Backup>;

/** An archive and an envelope go together: one alone takes its place only beside what has the same key. */
function changed(before: Backup | undefined, { archive, envelope, keyId, updatedAt }: Given): Backup {
  if (archive !== undefined && envelope !== undefined) return { archive, envelope, keyId, updatedAt };
  if (!before) throw new Refusal("not_found");
  if (before.keyId !== keyId) throw new Refusal("taken");
  return { archive: archive ?? before.archive, envelope: envelope ?? before.envelope, keyId, updatedAt };
}

export const viewBackup: Serve<typeof api.viewBackup> = async ({ c, caller: { user } }) => {
  const { backup } = await readDirectory(c.env, user);
  if (!backup) throw new Refusal("not_found");
  return backup;
};

export const removeBackup: Serve<typeof api.removeBackup> = async ({ c, caller: { user } }) => {
  await changeDirectory(c.env, user, (directory) => {
    if (!directory.backup) throw new Refusal("not_found");
    return withoutArchive(directory, directory.backup.archive);
  });
  c.executionCtx.waitUntil(sweep(c.env, user));
};
