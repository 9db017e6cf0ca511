import { beforeEach, describe, expect, it } from "vitest";
import { isInitialised, type Migration, migrate } from "../../durable-objects/runtime/migrations.ts";
import { NodeStorage } from "../../durable-objects/runtime/node-storage.ts";

let storage: NodeStorage;
beforeEach(() => {
  storage = new NodeStorage();
});

/** A step that makes a table. */
const step = (table: string, floor: number): Migration => ({
  floor,
  apply: (target) => target.run(`CREATE TABLE ${table} (id INTEGER PRIMARY KEY)`),
});
const [first, second, breaking] = [step("a", 1), step("b", 1), step("c", 3)];

function tables(): unknown[] {
  return storage.all("SELECT name FROM sqlite_master WHERE name != 'migration' ORDER BY name").map(({ name }) => name);
}

describe("object migrations", () => {
  it("probing an object that was never used writes nothing", () => {
    expect(isInitialised(storage)).toBe(false);
    expect(storage.all("SELECT name FROM sqlite_master")).toEqual([]);
  });

  it("apply every step once, whatever came in earlier versions", () => {
    migrate(storage, [first]);
    migrate(storage, [first, second]);
    migrate(storage, [first, second]);
    expect(tables()).toEqual(["a", "b"]);
    expect(storage.all("SELECT version FROM migration")).toEqual([{ version: 1 }, { version: 2 }]);
  });

  it("let older code run on a newer schema whose floor allows it", () => {
    migrate(storage, [first, second]);
    expect(() => migrate(storage, [first])).not.toThrow();
  });

  it("refuse to run older code below the floor of what is stored", () => {
    migrate(storage, [first, second, breaking]);
    expect(() => migrate(storage, [first, second])).toThrow("needs code of at least step 3");
  });

  it("leave nothing behind when a step fails, for they are part of the event's transaction", () => {
    const failing: Migration = { floor: 1, apply: () => storage.run("CREATE TABLE a (id INTEGER PRIMARY KEY)") };
    expect(() => storage.transaction(() => migrate(storage, [first, failing]))).toThrow();
    expect(storage.all("SELECT name FROM sqlite_master")).toEqual([]);
  });
});
