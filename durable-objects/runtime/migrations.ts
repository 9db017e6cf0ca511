import type { Storage } from "./storage.ts";

/** One step of an object's schema. Steps are numbered from 1 by their place; a landed step is never edited. */
export interface Migration {
  /** The oldest code, by its number of steps, that can still work with the schema after this step. */
  readonly floor: number;
  apply(storage: Storage): void;
}

/** This code is too old for what a newer version left in the object's file: roll forward, not back. */
class SchemaTooNew extends Error {
  override readonly name = "SchemaTooNew";
}

/** Whether anything was ever stored here. Reading it writes nothing, so that probing for objects costs nothing. */
export function isInitialised(storage: Storage): boolean {
  return storage.all("SELECT 1 FROM sqlite_master WHERE name = 'migration'").length > 0;
}

/** Brings the object's schema up to date. @throws SchemaTooNew where a newer schema's floor is above this code */
export function migrate(storage: Storage, migrations: readonly Migration[]): void {
  if (!isInitialised(storage))
    storage.run("CREATE TABLE migration (version INTEGER PRIMARY KEY, floor INTEGER NOT NULL)");
  const [last] = storage.all<{ version: number; floor: number }>(
    "SELECT version, floor FROM migration ORDER BY version DESC LIMIT 1",
  );
  if (last && last.floor > migrations.length) throw new SchemaTooNew(`needs code of at least step ${last.floor}`);
  migrations.slice(last?.version ?? 0).forEach((migration, index) => {
    migration.apply(storage);
    const version = (last?.version ?? 0) + index + 1;
    storage.run("INSERT INTO migration (version, floor) VALUES (?, ?)", version, migration.floor);
  });
}
